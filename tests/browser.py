"""A headless Chromium, driven over its debugging pipe (Chrome DevTools Protocol)."""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import time

EXECUTABLE = next(
    filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))),
    None,
)
_OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-dev-shm-usage --remote-debugging-pipe"
).split()
PATIENCE = 60


class Browser:
    """A browser with one page.

    Attributes:
        requests: URLs that were asked for since the last `open`.
        complaints: what the page has written to the console, and its errors.
    """

    def __init__(self, profile):
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # It reads commands from descriptor 3 and answers on 4. Ours are moved away
        # from there first.
        high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (commands, answers)]
        self._process = os.posix_spawn(
            EXECUTABLE,
            [EXECUTABLE, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, high[0], 3),
                (os.POSIX_SPAWN_DUP2, high[1], 4),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            setpgroup=0,
        )
        for end in (commands, answers, *high):
            os.close(end)
        self._ids = itertools.count(1)
        self._received = b""
        self._events = []
        self._session = None
        self.requests, self.complaints = [], []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send(
            "Target.attachToTarget", targetId=target, flatten=True
        )["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def close(self):
        self._session = None
        self.send("Browser.close")
        os.close(self._commands)
        os.close(self._answers)
        for _ in range(100):
            if os.waitpid(self._process, os.WNOHANG)[0]:
                return
            time.sleep(0.1)
        os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)

    def send(self, method, **params):
        """The result of a command of the protocol."""
        message = {"id": next(self._ids), "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == message["id"]:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._take_event(answer)

    def open(self, path, width=1280, height=800, dark=False, scripts=True, touch=False):
        """Loads a file, or an address, as on a screen of so many points."""
        self.requests, self.complaints = [], []
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=touch,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media="", features=[scheme])
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self._events.clear()
        self.send(
            "Page.navigate",
            url=path if isinstance(path, str) else path.resolve().as_uri(),
        )
        while "Page.loadEventFired" not in self._events:
            self._take_event(self._receive())

    def run(self, expression):
        """The value of a JavaScript expression."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def click(self, selector):
        """Presses the mouse where an element is seen."""
        x, y = self.run(
            f"""(() => {{
              const element = document.querySelector({json.dumps(selector)});
              element.scrollIntoView({{behavior: "instant", block: "center"}});
              const box = element.getBoundingClientRect();
              return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send(
                "Input.dispatchMouseEvent",
                type=kind, x=x, y=y, button="left", clickCount=1,
            )  # fmt: skip

    def stroke(self, selector, points):
        """Draws with the mouse, from point to point, parts of an element's sides."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        left, top, width, height = self.run(
            f"(b => [b.x, b.y, b.width, b.height])({box})"
        )
        kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
        for kind, (x, y) in zip(kinds, [*points, points[-1]], strict=True):
            self.send(
                "Input.dispatchMouseEvent",
                type=kind, x=left + x * width, y=top + y * height, button="left",
                buttons=1, clickCount=1,
            )  # fmt: skip

    def choose_file(self, selector, path):
        """Gives a file to an element that takes one."""
        self.send(
            "DOM.setFileInputFiles",
            files=[str(path)],
            objectId=self.send(
                "Runtime.evaluate",
                expression=f"document.querySelector({json.dumps(selector)})",
            )["result"]["objectId"],
        )

    def wait_for(self, expression):
        """Returns once a JavaScript expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.run(f"!!({expression})"):
            if time.monotonic() > end:
                raise TimeoutError(f"Never true: {expression}")
            time.sleep(0.1)

    def press(self, key, text=""):
        """Presses a key where the focus is."""
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent",
                type=kind, key=key, code=key, text=text if kind == "keyDown" else "",
            )  # fmt: skip

    def screenshot(self, path):
        """Writes a PNG of the whole page."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        picture = self.send(
            "Page.captureScreenshot",
            captureBeyondViewport=True, clip={**size, "scale": 1},
        )  # fmt: skip
        path.write_bytes(base64.b64decode(picture["data"]))

    def _receive(self):
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._answers], [], [], PATIENCE)
            chunk = os.read(self._answers, 1 << 20) if ready else b""
            if not chunk:
                raise TimeoutError(f"{EXECUTABLE} does not answer.")
            self._received += chunk
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)

    def _take_event(self, event):
        name, params = event.get("method"), event.get("params", {})
        self._events.append(name)
        if name == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif name == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"])
        elif name == "Runtime.consoleAPICalled":
            self.complaints.append(params["args"])
        elif name == "Log.entryAdded":
            self.complaints.append(params["entry"])
