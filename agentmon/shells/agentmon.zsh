#compdef agentmon
# Completion of agentmon in zsh.
#     eval "$(agentmon completion zsh)"     in ~/.zshrc, behind compinit if you call that
#     agentmon completion zsh > FOLDER/_agentmon     instead, in a folder of your $fpath

_agentmon() {
    local program=${(Q)words[1]/#\~/$HOME} line="${(j: :)words[1,CURRENT-1]} $PREFIX" entry
    local -a answer head named plain
    (( $+commands[$program] )) || [[ -x $program && $program == */* ]] || program=agentmon
    answer=("${(@f)$($program completion zsh --at "$line" 2>/dev/null)}")
    head=("${(@ps:\t:)answer[1]}")
    case $head[1] in
        files) compset -P "${(b)head[2]}"; _files ;;
        folders) compset -P "${(b)head[2]}"; _files -/ ;;
        command)
            shift $head[2] words
            (( CURRENT -= head[2] ))
            _normal
            ;;
        words)
            for entry in "${(@)answer[2,-1]}"; do
                [[ -n $entry ]] || continue
                plain+=("${entry%%$'\t'*}")
                named+=("${${entry%%$'\t'*}//:/\\:}:${entry#*$'\t'}")
            done
            (( $#plain )) || return 1
            if [[ $plain[1] == *[=,] ]]; then
                compadd -Q -S '' -V agentmon -- "${(@)plain}"
            else
                _describe -V agentmon named
            fi
            ;;
    esac
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _agentmon "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
    compdef _agentmon agentmon
fi
