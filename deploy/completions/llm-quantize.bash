# Completion of llm-quantize in bash. What may stand at the cursor the program itself says.

_llm_quantize() {
  local line=${COMP_LINE:0:COMP_POINT} word words
  # COMP_WORDS is split at = and : too; backslashes are to go, hence no -r.
  # shellcheck disable=SC2162
  read -a words <<<"$line"
  [[ $line != *[[:space:]] ]] || words+=("")
  # Of "--format=js" bash completes what follows the last =.
  local typed=${words[-1]} settled=""
  [[ $COMP_WORDBREAKS != *=* ]] || settled=${typed%"${typed##*=}"}

  COMPREPLY=()
  while IFS=$'\t' read -r word _; do
    case $word in
      :files) compopt -o default ;;
      :directories) compopt -o dirnames ;;
      *) COMPREPLY+=("${word#"$settled"}") ;;
    esac
  done < <("${words[0]/#\~\//$HOME/}" __complete "${words[@]:1}" 2>/dev/null)
}

complete -F _llm_quantize llm-quantize
