#compdef ssmonitor
# Completion of ssmonitor for zsh. The program itself says what can follow.

_ssmonitor() {
    local -a before choices
    before=("${(@)words[1,CURRENT-1]}")
    [[ $words[CURRENT] == -* ]] && before+=("$words[CURRENT]")
    choices=("${(@f)$("${before[@]}" --generate-bash-completion 2>/dev/null)}")
    if [[ -n "$choices" ]]; then
        _describe 'ssmonitor' choices
    else
        _files
    fi
}

_ssmonitor "$@"
