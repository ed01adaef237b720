# Completion of ssmonitor for bash. The program itself lists what can follow.

_ssmonitor() {
    local current=${COMP_WORDS[COMP_CWORD]} value
    COMPREPLY=()
    [[ $current == '=' ]] && current=
    while IFS=$'\t' read -r value _; do
        case $value in
        :files)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            ;;
        :directories)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -d -- "$current")
            ;;
        "$current"*) COMPREPLY+=("$value") ;;
        esac
    done < <("${1/#\~\//$HOME/}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}

complete -F _ssmonitor ssmonitor
