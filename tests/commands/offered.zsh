# offered.zsh FOLDER LINE: prints what zsh offers when Tab is pressed after LINE, one word in each
# line, as "WORD" or "WORD -- MEANING". FOLDER has the completion, `_buntime`. Another zsh on a
# pseudo-terminal takes the keys: there is no other way to make zsh complete.
zmodload zsh/zpty || exit 1
zpty shell zsh -f -i
zpty -w shell "source ${0:A:h}/offering.zsh ${(q)1}"
zpty -r shell seen '*<ready>*'
zpty -n -w shell "$2"$'\t'
zpty -r shell seen '*<end>*'
seen=${${seen%%<end>*}##*<begin>}
print -r -- "${seen//$'\r'/}"
