import { conformance } from "../../hubs/conformance.ts";
import * as libevent from "../../hubs/libevent.ts";
import * as epolls from "../../hubs/epolls.ts";
const which = Deno.env.get("WHICH") ?? "";
if (which === "epolls") conformance("epolls", epolls);
else if (which === "") conformance("libevent", libevent);
else {conformance("libevent/" + which, {
    isAvailable: libevent.isAvailable,
    Hub: class extends libevent.Hub {
      constructor() {
        super({ method: which as "poll", parking: "thread" });
      }
    },
  });}
