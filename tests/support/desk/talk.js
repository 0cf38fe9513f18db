// The tests' page: shows its path, and keeps the messages that it gets.
import { frame } from "/.well-known/buntime/frame.js";
window.frame = frame;
window.told = [];
const show = (path) => { document.getElementById("path").textContent = path; told.push(path); };
frame.on("navigate", show);
frame.on("props", (props) => told.push(props));
frame.on("dispose", () => { frame.state = { left: "here" }; });
frame.onEvent("hello", (detail) => frame.emit("heard", detail));
frame.expose("twice", (n) => 2 * n);
frame.ready.then(() => { show(frame.path); document.body.dataset.ready = frame.isAlone ? "alone" : "framed"; });
