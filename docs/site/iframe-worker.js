// Browsers start no worker for a page that is opened as a file, and the search runs in one. There, a hidden frame takes its
// place: it runs the worker's script, and messages go to and fro as to a worker. The theme's search looks for this name.
if (location.protocol === "file:") {
  window.IFrameWorker = class IFrameWorker extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.appendChild(frame);
      const inner = frame.contentWindow;
      this.ready = new Promise((resolve) => {
        inner.document.open();
        inner.document.write("<!doctype html><title>search</title>");
        inner.document.close();
        inner.postMessage = (data) => {
          const event = new MessageEvent("message", { data });
          this.dispatchEvent(event);
          if (this.onmessage) this.onmessage(event);
        };
        const load = (source) =>
          new Promise((loaded, failed) => {
            const script = inner.document.createElement("script");
            script.src = source;
            script.onload = loaded;
            script.onerror = failed;
            inner.document.head.appendChild(script);
          });
        inner.importScripts = (...sources) =>
          sources.reduce((before, source) => before.then(() => load(source)), Promise.resolve());
        load(url).then(() => resolve(inner));
      });
    }

    postMessage(data) {
      this.ready.then((inner) => inner.dispatchEvent(new inner.MessageEvent("message", { data })));
    }

    terminate() {}
  };
  window.Worker = window.IFrameWorker;
}
