"""What a person sees of the stand-in workspace: the editor's page and the index of the developer's site.

Self-contained documents without a second request but the editor's WebSocket. They are the application's, not the
gateway's, which is why they look different and bring a script.
"""

from html import escape
from string import Template


def editor_page(name: str, folder: str) -> str:
    """A page that holds a WebSocket to its own origin open, and shows what comes back on it."""
    return _EDITOR.substitute(name=escape(name), folder=escape(folder or "no folder"))


def site_page(name: str) -> str:
    """The index of everything the site can do."""
    return _SITE.substitute(name=escape(name))


_EDITOR = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>$name - demo editor</title>
<style>
* { box-sizing: border-box; }
body { margin: 0; height: 100vh; display: grid; grid-template: auto 1fr auto / 13rem 1fr; color: #d8dee4;
  background: #1d232b; font: 15px/1.5 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
header, footer { grid-column: 1 / 3; display: flex; justify-content: space-between; gap: 1rem; padding: .5rem 1rem;
  background: #151a20; }
h1 { margin: 0; font-size: 1rem; }
nav { padding: 1rem; border-right: 1px solid #38414c; overflow-wrap: anywhere; }
main { padding: 1rem; display: flex; flex-direction: column; gap: 1rem; min-height: 0; }
output { flex: 1; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
form { display: flex; gap: .5rem; }
input, button { font: inherit; color: inherit; background: #2a323c; border: 1px solid #687583; border-radius: 4px;
  padding: .4rem .7rem; min-width: 0; }
input { flex: 1; }
.connected { color: #7ddc9f; }
@media (max-width: 40rem) { body { grid-template-columns: 1fr; grid-template-rows: auto auto 1fr auto; }
  header, footer { grid-column: 1; } nav { border: 0; } }
</style>
</head>
<body>
<header><h1>$name</h1><span>demo editor</span></header>
<nav aria-label="Folder"><span id="folder">$folder</span></nav>
<main>
<output id="log" aria-label="Echoes"></output>
<form id="form"><input id="line" aria-label="Text to send" placeholder="Type something; the workspace sends it back"
 autocomplete="off"><button>Send</button></form>
</main>
<footer><span id="status" role="status">connecting</span><span id="echoes">0 echoes</span></footer>
<script>
const byId = id => document.getElementById(id);
let socket, echoes = 0;
function connect() {
  socket = new WebSocket(location.origin.replace("http", "ws") + "/ws", ["demo.editor"]);
  socket.onopen = () => show("connected");
  socket.onmessage = message => {
    byId("log").textContent += message.data + "\\n";
    byId("echoes").textContent = ++echoes + (echoes === 1 ? " echo" : " echoes");
  };
  socket.onclose = event => { show("disconnected (" + event.code + ")"); setTimeout(connect, 1000); };
}
function show(state) {
  byId("status").textContent = state;
  byId("status").className = state;
}
byId("form").onsubmit = event => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN) return;
  socket.send(byId("line").value);
  byId("line").value = "";
};
connect();
</script>
</body>
</html>
""")

_SITE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>$name - demo site</title>
<style>
:root { color-scheme: light dark; }
body { max-width: 40rem; margin: 3rem auto; padding: 0 1rem; font: 1rem/1.6 Georgia, "DejaVu Serif", serif; }
li { margin: .4rem 0; }
</style>
</head>
<body>
<main>
<h1>$name - demo site</h1>
<p>A developer's own server, as it runs inside a workspace.</p>
<ul>
<li><a href="/download?bytes=1000000">/download?bytes=1000000</a>: bytes whose SHA-256 is in X-SHA256</li>
<li>/upload: POST or PUT anything; the answer counts and hashes it</li>
<li><a href="/events?count=5">/events?count=5&amp;interval=1</a>: server-sent events</li>
<li><a href="/headers">/headers</a>: the header fields as they arrived</li>
<li><a href="/redirect?to=/">/redirect?to=/</a>: a redirect</li>
<li><a href="/status/418">/status/418</a>: any status</li>
<li><a href="/cookies/set">/cookies/set?line=name=value; Path=/</a>: Set-Cookie lines</li>
</ul>
</main>
</body>
</html>
""")
