# Completion of ssmonitor for fish. The program itself lists what can follow.

function __ssmonitor_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    # fish replaces the whole of --flag=value.
    set -l flag (string match -r -- '^--[^=]+=' $current)
    set -l value (string replace -- "$flag" '' $current)
    for line in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case ':files*'
                printf '%s\n' "$flag"(__fish_complete_path "$value")
            case ':directories*'
                printf '%s\n' "$flag"(__fish_complete_directories "$value")
            case '*'
                printf '%s\n' "$flag$line"
        end
    end
end

complete -c ssmonitor -f -a '(__ssmonitor_complete)'
