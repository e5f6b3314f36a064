# Completion of agentmon in bash 4.4 or newer.
#     eval "$(agentmon completion bash)"     in ~/.bashrc

_agentmon() {
    local program=${1/#\~/$HOME} line=${COMP_LINE:0:COMP_POINT} current=${COMP_WORDS[COMP_CWORD]}
    local answer kind word left
    type -P -- "$program" >/dev/null || program=agentmon
    COMPREPLY=()
    mapfile -t answer < <("$program" completion bash --at "$line" 2>/dev/null)
    IFS=$'\t' read -r kind word left <<<"${answer[0]}"
    case $kind in
        files) compopt -o default ;;
        folders) compopt -o dirnames ;;
        command) _agentmon_command "$left" ;;
        words)
            # bash replaces only what stands behind the last = or :, so only that is given
            [[ $current == [=:] ]] && current=
            current=${current#[\'\"]}
            left=${word%"$current"}
            for word in "${answer[@]:1}"; do
                word=${word%%$'\t'*}
                [[ $word == *[=,/] ]] && compopt -o nospace
                [[ $word == *[[:space:]\\\"\'\$\`\&\;\(\)\<\>\|\*\?]* ]] && printf -v word %q "$word"
                COMPREPLY+=("${word#"$left"}")
            done
            ;;
    esac
}

# The command behind `run`, which begins at this character of the line, as it would be completed by itself.
_agentmon_command() {
    local rest=$COMP_LINE number=0 current=${COMP_WORDS[COMP_CWORD]}
    while ((number < COMP_CWORD && ${#COMP_LINE} - ${#rest} < $1)); do
        rest=${rest#*"${COMP_WORDS[number]}"}
        rest=${rest#"${rest%%[![:space:]]*}"}
        ((number += 1))
    done
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$number"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$number"
    elif ((number == COMP_CWORD)) && [[ $current != */* ]]; then
        mapfile -t COMPREPLY < <(compgen -c -- "$current" | sort -u)
    else
        compopt -o default
    fi
} 2>/dev/null

complete -o nosort -F _agentmon agentmon
