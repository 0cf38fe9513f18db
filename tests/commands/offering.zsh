# Sourced by the zsh that offered.zsh starts; its argument FOLDER has the completion. From here on
# Tab shows no offers, but prints them.
fpath=($1 $fpath)
autoload -Uz compinit && compinit -u -d "$1/.zcompdump"
setopt no_list_beep no_beep
COLUMNS=200  # meanings are cut to the width of the terminal

# Everything that completion functions find goes through compadd.
compadd() {
  local given="${(j: :)argv[1,(i)--]}"
  if [[ " $given" == *' -'[OAD]' '* ]]; then  # only asks, adds nothing
    builtin compadd "$@"
    return
  fi
  local -a found shown
  local named=${argv[${argv[(i)-d]}+1]-}
  [[ -n $named ]] && shown=("${(@P)named}")
  builtin compadd -O found -D shown "$@"
  (( $#found )) || return 1
  (( $#shown == $#found )) || shown=("${(@)found}")
  local index
  for index in {1..$#found}; do print -r -- "${found[index]}"$'\t'"${shown[index]}"; done
  builtin compadd "$@"
}

# Each is called once, unless it is set again.
print_begin() { print -r -- '<begin>'; compprefuncs=(print_begin); }
print_end() { print -r -- '<end>'; comppostfuncs=(print_end); }
compprefuncs=(print_begin)
comppostfuncs=(print_end)
print -r -- '<'ready'>'
