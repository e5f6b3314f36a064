# Completion of agentmon in fish.
#     agentmon completion fish > ~/.config/fish/completions/agentmon.fish

function __agentmon_complete
    set -l line (commandline --current-process --cut-at-cursor | string collect)
    set -l program (string replace --regex '^~' -- $HOME (commandline --current-process --tokenize)[1])
    type --query -- $program; or set program agentmon
    set -l answer ($program completion fish --at "$line" 2>/dev/null)
    set -l head (string split \t -- $answer[1])
    set -l path (string replace --all --regex '([\s\\\\"\'$*?;&|<>()])' '\\\\$1' -- "$head[3]")
    switch "$head[1]"
        case files
            for found in (complete --do-complete "'' $path")
                printf '%s\n' $head[2]$found
            end
        case folders
            for found in (complete --do-complete "'' $path" | string match --regex -- '.*/(?:\t.*)?$')
                printf '%s\n' $head[2]$found
            end
        case command
            complete --do-complete (string sub --start (math $head[3] + 1) -- $line | string collect)
        case words
            string join \n -- $answer[2..]
    end
end

complete --command agentmon --no-files --keep-order --arguments '(__agentmon_complete)'
