/** The recipe in `libpq.ts` against a real server. */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { GreenletExit, sleep, spawn, Timeout } from "../../mod.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";
import { testWith } from "../helpers/need.ts";
import { hasPostgres, startPostgres } from "./postgres_server.ts";
import { assertIdle, load } from "./support.ts";

const libpq = await load(import("./libpq.ts"));
const NEEDS = ["libpq and PostgreSQL", libpq !== null && hasPostgres] as const;
const { Connection, PostgresError } = libpq ?? {} as never;

testWith(
  NEEDS,
  "libpq connects by socket and by port, and queries",
  async () => {
    await using server = await startPostgres();
    for (const conninfo of [server.local, server.tcp]) {
      using db = await Connection.open(conninfo);
      assertEquals(
        await db.query("select 1 + 1, 'grün', null; select 'last', 2"),
        [["last", "2"]],
      );
    }
    assertIdle();
  },
);

testWith(NEEDS, "libpq says why it cannot connect", async () => {
  await using server = await startPostgres();
  const nowhere = server.local.replace(/dbname=\w+/, "dbname=nowhere");
  const error = await assertRejects(
    () => Connection.open(nowhere),
    PostgresError,
  );
  assertStringIncludes(error.message, 'database "nowhere" does not exist');
  await assertRejects(
    () => Connection.open("hostaddr=127.0.0.1 port=1"),
    PostgresError,
    "refused",
  );
  assertIdle();
});

testWith(NEEDS, "libpq goes on after an error in a query", async () => {
  await using server = await startPostgres();
  using db = await Connection.open(server.local);
  await assertRejects(
    () => db.query("select 1/0"),
    PostgresError,
    "division by zero",
  );
  assertEquals(await db.query("select 'still here'"), [["still here"]]);
});

testWith(
  NEEDS,
  "libpq brings a large result, and Deno's loop goes on",
  async () => {
    await using server = await startPostgres();
    using db = await Connection.open(server.local);
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const rows = await db.query(
      "select n, repeat(md5(n::text), 10) from generate_series(1, 20000) n",
    );
    clearInterval(timer);
    assertEquals(rows.length, 20_000);
    assert(
      rows.every(([n, text], i) => n === `${i + 1}` && text!.length === 320),
    );
    assert(turns > 1, `${turns} turns of Deno's loop`);
  },
);

testWith(
  NEEDS,
  "libpq sends what no buffer holds while answers pile up",
  async () => {
    await using server = await startPostgres();
    using db = await Connection.open(server.local);
    // 20,000 statements, each answered before the last one has been sent.
    const text = "x".repeat(200);
    const statement = `select '${text}';`;
    const rows = await db.query(statement.repeat(20_000));
    assertEquals(rows, [[text]]);
  },
);

testWith(NEEDS, "libpq queries on ten connections at once", async () => {
  await using server = await startPostgres();
  await assertNoFdLeak(async () => {
    const each = Array.from({ length: 10 }, (_, i) =>
      spawn(async () => {
        using db = await Connection.open(server.local);
        await db.query("select pg_sleep(0.05)");
        return (await db.query(`select ${i}`))[0]![0];
      }));
    const started = performance.now();
    const answers = [];
    for (const gt of each) answers.push(await gt.wait());
    assertEquals(answers, each.map((_, i) => `${i}`));
    assert(performance.now() - started >= 50);
  });
  assertIdle();
});

testWith(NEEDS, "libpq cancels a query", async () => {
  await using server = await startPostgres();
  using db = await Connection.open(server.local);
  const query = spawn(() => db.query("select pg_sleep(600)"));
  const end = assertRejects(
    () => query.wait(),
    PostgresError,
    "canceling statement due to user request",
  );
  using other = await Connection.open(server.local);
  await untilSleeping(other);
  await db.cancel();
  await end;
  assertEquals(await db.query("select 'free again'"), [["free again"]]);
  assertIdle();
});

testWith(
  NEEDS,
  "libpq tells of NOTIFY until the connection is closed",
  async () => {
    await using server = await startPostgres();
    using sender = await Connection.open(server.tcp);
    using receiver = await Connection.open(server.local);
    await receiver.query("listen news");
    const received: string[] = [];
    const listener = spawn(async () => {
      for await (const { channel, payload } of receiver.notifications()) {
        received.push(`${channel}: ${payload}`);
        if (payload === "last") receiver.close();
      }
      return "ended";
    });
    await sleep();
    await sender.query("notify news, 'one'");
    await sender.query("notify other, 'nobody listens'; notify news, 'two'");
    await sender.query("notify news, 'last'");
    assertEquals(await listener.wait(), "ended");
    assertEquals(received, ["news: one", "news: two", "news: last"]);
    assertIdle();
  },
);

testWith(
  NEEDS,
  "libpq fails clearly if the server ends in mid-query",
  async () => {
    await assertNoFdLeak(async () => {
      await using server = await startPostgres();
      using db = await Connection.open(server.local);
      using other = await Connection.open(server.local);
      await other.query("listen news");
      const query = spawn(() => db.query("select pg_sleep(600)"));
      const news = spawn(() => other.notifications().next());
      using third = await Connection.open(server.local);
      await untilSleeping(third);
      const ends = [
        assertRejects(() => query.wait(), PostgresError, "terminat"),
        assertRejects(() => news.wait(), PostgresError, "terminat"),
      ];
      await server.stop("SIGQUIT");
      await Promise.all(ends);
      await assertRejects(() => db.query("select 1"), PostgresError);
      await assertRejects(() => Connection.open(server.local), PostgresError);
    });
    assertIdle();
  },
);

testWith(NEEDS, "libpq is left clean by a kill in mid-query", async () => {
  await using server = await startPostgres();
  await assertNoFdLeak(async () => {
    const query = spawn(async () => {
      using db = await Connection.open(server.local);
      await db.query("select pg_sleep(600)");
    });
    using other = await Connection.open(server.local);
    await untilSleeping(other);
    const end = assertRejects(() => query.wait(), GreenletExit);
    await query.kill();
    await end;
  });
  assertIdle();
});

testWith(NEEDS, "libpq gives up on a server that hangs, in time", async () => {
  await using server = await startPostgres();
  await assertNoFdLeak(async () => {
    using db = await Connection.open(server.local);
    const [[pid]] = await db.query("select pg_backend_pid()") as [[string]];
    Deno.kill(Number(pid), "SIGSTOP");
    try {
      const query = spawn(async () => {
        using _limit = new Timeout(20);
        await db.query("select 'never'");
      });
      await assertRejects(() => query.wait(), Timeout, "20 ms");
    } finally {
      Deno.kill(Number(pid), "SIGCONT");
    }
  });
  assertIdle();
});

/** Until the server itself says that a query sleeps. */
async function untilSleeping(
  db: { query(sql: string): Promise<string[][]> },
): Promise<void> {
  const sleeping =
    "select 1 from pg_stat_activity where wait_event = 'PgSleep'";
  while ((await db.query(sleeping)).length === 0);
}
