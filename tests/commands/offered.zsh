# offered.zsh FOLDER LINE: what zsh offers when Tab is pressed behind LINE, one a line, each as
# "WORD" or "WORD -- MEANING". FOLDER holds the completion, `_buntime`. A zsh of its own on a
# pseudo-terminal takes the keys: there is no other way to have zsh complete.
zmodload zsh/zpty || exit 1
zpty shell zsh -f -i
zpty -w shell "source ${0:A:h}/offering.zsh ${(q)1}"
zpty -r shell seen '*<ready>*'
zpty -n -w shell "$2"$'\t'
zpty -r shell seen '*<end>*'
seen=${${seen%%<end>*}##*<begin>}
print -r -- "${seen//$'\r'/}"
