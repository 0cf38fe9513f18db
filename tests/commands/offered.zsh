# offered.zsh FOLDER LINE...: prints what zsh offers when Tab is pressed after each LINE, one word in
# each line, as "WORD" or "WORD -- MEANING", and a form feed after those of each LINE. FOLDER has the
# completion, `_buntime`. Another zsh on a pseudo-terminal takes the keys: there is no other way to
# make zsh complete.
zmodload zsh/zpty || exit 1
zpty shell zsh -f -i
zpty -w shell "source ${0:A:h}/offering.zsh ${(q)1}"
zpty -r shell seen '*<ready>*'
shift
for line; do
  # First ^G and ^U: they leave a question and a line of before.
  zpty -n -w shell $'\a\025'"$line"$'\t'
  seen=
  until [[ $seen == *'<end>'* ]]; do zpty -r shell read && seen+=$read; done
  seen=${${seen%%<end>*}##*<begin>}
  print -r -- "${seen//$'\r'/}"$'\f'
done
