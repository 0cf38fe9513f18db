// Actions on a plugin, for all pages that show one.
import * as api from "../../api.js";
import { button, doing } from "../../dom.js";
import { t } from "../../i18n.js";
import { act } from "../../components/dialog.js";
import { base } from "../../router.js";
import { state } from "../../components/parts.js";

const KINDS = { serving: "good", asleep: "good", starting: "busy", waiting: "busy", disabled: "off", failed: "bad", unreadable: "bad", away: "bad", "left out": "warn" };
export const standing = (row) => state(KINDS[row.state] ?? "warn", t(`plugin.${row.state}`));

const POSSIBLE = {
  enable: (row) => !row.enabled,
  disable: (row) => row.enabled && base !== `${row.base}/`, // without the panel nobody could enable it here again
  reload: (row) => ["serving", "away", "failed"].includes(row.state),
  reset: (row) => Boolean(row.switched),
};

// Buttons for those actions in `names` that are possible now; `load` is called after one.
export function actions(row, load, names = Object.keys(POSSIBLE)) {
  const { name } = row;
  const undo = { enable: "disable", disable: "enable" };
  const ways = {
    enable: () => api.post(`/api/plugins/${api.name(name)}/enable`),
    disable: () => api.post(`/api/plugins/${api.name(name)}/disable`),
    reload: () => api.post(`/api/plugins/${api.name(name)}/reload`),
    reset: () => api.post(`/api/plugins/${api.name(name)}/reset`),
  };
  const ask = async (action) => {
    await act(`plugin-${action}`, { name }, {
      danger: action === "disable",
      command: `buntime plugins ${action} ${name}`,
      run: ways[action],
      undo: undo[action] && (() => ways[undo[action]]().then(load)),
    });
    await load();
  };
  return names.filter((action) => POSSIBLE[action](row)).map((action) =>
    button(t(`plugin-${action}.do`), doing(() => ask(action)), { "aria-label": t(`plugin-${action}.title`, { name }), class: action === "enable" ? "" : "quiet" }));
}
