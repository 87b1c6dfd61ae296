# Completion of llm-quantize in fish. What may stand at the cursor the program itself says.

function __llm_quantize_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    # Of "--output-dir=x" the path begins after the =.
    set -l option (string match -r -- '^--[^=]*=' "$typed")
    set -l path (string sub -s (math (string length -- "$option") + 1) -- "$typed")
    for line in ($words[1] __complete $words[2..] "$typed" 2>/dev/null)
        switch $line
            case :files
                printf '%s\n' "$option"(__fish_complete_path "$path")
            case :directories
                printf '%s\n' "$option"(__fish_complete_directories "$path" "")
            case '*'
                printf '%s\n' $line
        end
    end
end

complete -c llm-quantize -f -a '(__llm_quantize_complete)'
