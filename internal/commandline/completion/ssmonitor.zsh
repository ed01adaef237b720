#compdef ssmonitor
# Completion of ssmonitor for zsh. The program itself lists what can follow.

_ssmonitor() {
    local line
    local -a lines candidates
    lines=("${(@f)$("${words[1]/#\~\//$HOME/}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    [[ $words[CURRENT] == --*=* ]] && compset -P 1 '*='
    for line in $lines; do
        case $line in
        :files*) _files ;;
        :directories*) _files -/ ;;
        ?*) candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done
    (( $#candidates )) && _describe 'ssmonitor' candidates
}

if [[ $funcstack[1] == _ssmonitor ]]; then
    _ssmonitor "$@"
else
    compdef _ssmonitor ssmonitor
fi
