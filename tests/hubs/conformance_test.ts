/** The conformance suite, on every hub there is and on one by somebody else. */

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

conformance("epolls", epolls);
conformance("poll", poll);
conformance("selects", selects);
if (need("libevent", libevent.isAvailable())) {
  conformance("libevent", libevent);
}
conformance("a third party's", tiny);
conformance("a third party's that parks", parking);
conformance("a third party's that tells of bad descriptors late", late);
conformance("a third party's that cannot be woken", unwakeable);
