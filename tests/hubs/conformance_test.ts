/**
 * The conformance suite, on every hub there is and on some by somebody else. It
 * is told which hub to use: a run for one hub (`EVENTLET_HUB`) is for that one.
 */

import { conformance } from "../../hubs/conformance.ts";
import * as epolls from "../../hubs/epolls.ts";
import * as libevent from "../../hubs/libevent.ts";
import * as poll from "../../hubs/poll.ts";
import * as selects from "../../hubs/selects.ts";
import { need } from "../helpers/need.ts";
import * as late from "../third_party/late.ts";
import * as parking from "../third_party/parking.ts";
import * as tiny from "../third_party/tiny.ts";
import * as unwakeable from "../third_party/unwakeable.ts";

const BUILT_IN = { epolls, poll, selects, libevent };
const THIRD_PARTY = {
  "a third party's": tiny,
  "a third party's that parks": parking,
  "a third party's that tells of bad descriptors late": late,
  "a third party's that cannot be woken": unwakeable,
};

const only = Deno.env.get("EVENTLET_HUB");
const all = only === undefined || !Object.hasOwn(BUILT_IN, only);

for (const [name, hub] of Object.entries(BUILT_IN)) {
  if (!all && name !== only) continue;
  if (hub !== libevent || need("libevent", libevent.isAvailable())) {
    conformance(name, hub);
  }
}
for (const [name, hub] of Object.entries(THIRD_PARTY)) {
  if (all) conformance(name, hub);
}
