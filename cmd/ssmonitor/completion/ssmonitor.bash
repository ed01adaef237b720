# Completion of ssmonitor for bash. The program itself says what can follow.

_ssmonitor() {
    local current=${COMP_WORDS[COMP_CWORD]} before=("${COMP_WORDS[@]:0:COMP_CWORD}")
    [[ $current == -* ]] && before+=("$current")
    mapfile -t COMPREPLY < <(compgen -W "$("${before[@]}" --generate-bash-completion 2>/dev/null)" -- "$current")
}

complete -o bashdefault -o default -F _ssmonitor ssmonitor
