"""The README shows what the views print."""

from tests.captures import README, section, section_of


def test_the_readme_holds_what_the_script_makes():
    made = section()
    assert section_of(README.read_text()).rstrip() == made.rstrip(), "run `make captures`"
    for view in ("agentmon top", "agentmon report", "agentmon tail", "agentmon history", "agentmon export"):
        assert view in made


def test_a_readme_without_it_has_none():
    assert section_of("# x\n\n## Use\n") == ""
    assert section_of("# x\n\n## What it looks like\n\ny\n\n## Use\n") == "## What it looks like\n\ny\n\n"
