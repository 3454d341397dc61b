// crier.js in live, against a model of the server, through cuts, delays, take-overs and ends of sessions. Each seed is
// another bad day: SEED=17 node --test live.test.mjs repeats one.
import assert from "node:assert/strict";
import { connect } from "../../console/client/crier.js";
import { Clock, Network, Random, Server, numberOf } from "./world.mjs";

const seeds = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: Number(process.env.SEEDS ?? 1000) }, (_, i) => i + 1);

// A Day is one run.
class Day {
  constructor(seed) {
    this.random = new Random(seed);
    this.clock = new Clock();
    const history = this.random.one([100_000, 100_000, 4]);
    this.server = new Server(this.clock, this.random, { history });
    this.server.token = "secret";
    this.network = new Network(this.clock, this.random, this.server);
    this.people = [];
    this.values = new Map(); // what was set, by number
  }

  async live() {
    const restore = this.clock.install(this.random);
    try {
      for (let i = 0; i < 3; i++) this.people.push(new Person(this, i));
      for (const person of this.people) person.plan();
      this.worsen();
      await this.clock.run(12_000);
      this.calm = true;
      this.network.up = true;
      await this.clock.run(40_000);
      for (const person of this.people) if (!person.linked()) person.crier.reconnect();
      await this.clock.run(40_000);
      // A heartbeat may be on its way.
      for (let i = 0; i < 100 && this.people.some(({ crier }) => crier.pending); i++) await this.clock.run(100);
      this.check();
    } finally {
      for (const { crier } of this.people) crier.close();
      restore();
    }
  }

  // worsen does something bad now and then.
  worsen() {
    if (this.calm) return;
    const { random, server, network } = this;
    const links = [...network.links];
    const link = links.length && random.one(links);
    const bad = [
      () => link && link.cut(),
      () => link && link.cut(),
      () => link && link.cut(),
      () => link && server.lose(link),
      () => link && server.hangUp(link, 1013, "fell-behind: you read too slowly"),
      () => link && server.hangUp(link, 1008, "expired: this token has expired"),
      () => (network.up = !network.up),
      () => this.clock.after(11_000, () => (network.up = true)) && (network.up = false),
      () => server.forget(random.one(["a", "b"])),
      () => random.chance(0.3) && server.restart(random.chance(0.5)),
    ];
    random.one(bad)();
    this.clock.after(random.below(4000), () => this.worsen());
  }

  check() {
    const { server } = this;
    const times = new Map();
    for (const { n } of server.published) times.set(n, (times.get(n) ?? 0) + 1);
    for (const person of this.people) {
      for (const [n, fate] of person.fates) {
        const count = times.get(n) ?? 0;
        const want = { confirmed: server.refused.has(n) ? [0] : [1], unsure: [0, 1], dropped: [0], refused: [0] }[fate];
        assert.ok(want?.includes(count), `message ${n} is ${fate}, and was published ${count} times`);
      }
      const said = server.published.map(({ n }) => n).filter((n) => n && Math.floor(n / 1e6) === person.number + 1);
      said.forEach((n, i) => assert.ok(!i || n > said[i - 1], `${n} was published after ${said[i - 1]}`));
      person.check();
    }
  }
}

// A Person is one client, and what it is told.
class Person {
  fates = new Map();
  next = new Map(); // place in the topic's archive
  fleeting = new Set();
  robbed = false;

  constructor(day, number) {
    Object.assign(this, { day, number, count: 0 });
    const { random, network } = day;
    this.user = random.one([undefined, "ada", `user${number}`]);
    this.many = random.chance(0.5);
    const asks = random.chance(0.3);
    const url = "ws://crier.test";
    this.crier = connect({
      app: "live",
      url: asks ? () => url : url,
      token: async () => "secret",
      topic: this.many ? ["a", "b"] : "a",
      user: this.user,
      last: random.one([undefined, 3]),
      queue: this.many ? 1000 : random.one([1000, 5]),
      retry: [200, 5000],
      heartbeat: random.one([0, 5000]),
      WebSocket: network.WebSocket,
    });
    this.listen();
  }

  listen() {
    const { crier, day } = this;
    const on = (type, then) => crier.addEventListener(type, then);
    on("hello", ({ topic, offset, missed, id }) => {
      assert.equal(crier.id, id);
      const position = day.server.positions.get(topic + offset);
      if (missed || !this.next.has(topic)) this.next.set(topic, { start: position });
      else if (this.next.get(topic).start !== undefined) this.next.get(topic).start = position;
    });
    on("ready", ({ topic }) => {
      const next = this.next.get(topic);
      next.at ??= next.start;
    });
    on("message", ({ json }) => json && this.hear(json));
    on("drop", ({ why }) => {
      if (why === "lost") assert.ok(day.server.everySession.get(crier.id).ended, "only a lost session leaves doubts");
    });
  }

  hear(json) {
    if (json._key !== undefined) return;
    if (json._offset === undefined) {
      const n = numberOf(json);
      assert.ok(!this.fleeting.has(n), `${n} came twice`);
      this.fleeting.add(n);
      return;
    }
    const next = this.next.get(json._topic);
    const at = this.day.server.topic(json._topic).all.indexOf(json._offset);
    if (next.at === undefined) assert.ok(at <= next.start, `a replay of ${json._topic} that begins too late`);
    else assert.equal(at, next.at, `the place of ${JSON.stringify(json)}`);
    next.at = at + 1;
  }

  plan() {
    const { day } = this;
    day.clock.after(day.random.below(300), () => {
      if (day.calm || this.crier.status === "closed") return;
      this.act();
      this.plan();
    });
  }

  say(then) {
    const n = (this.number + 1) * 1e6 + ++this.count;
    then(n).then((fate) => this.fates.set(n, fate));
  }

  act() {
    const { crier, day } = this;
    const { random, values } = day;
    const topic = random.chance(0.3) ? random.one(["a", "b"]) : undefined;
    const key = random.one(["p", "q", "__proto__"]);
    const kind = random.one([{}, { tied: true }, { own: true }]);
    const set = (shape) => () => this.say((n) => (values.set(n, shape(n)), crier.set(key, shape(n), { ...kind, topic })));
    const plainly = () => this.say((n) => crier.send({ n }));
    random.one([
      plainly,
      plainly,
      plainly,
      () => this.say((n) => crier.send(String(n))),
      () => this.say((n) => crier.send({ n }, { keep: false, topic })),
      () => this.say((n) => crier.send({ n, _topic: topic })),
      () => !this.many && this.say((n) => crier.send(new Uint32Array([n]))),
      set((n) => n),
      set((n) => [n]),
      set((n) => ({ n, x: { _y: 1 } })),
      set((n) => ({ data: n })),
      set((n) => ({ data: n, x: 1 })),
      set((n) => ({ n, _mine: 1 })),
      () => crier.unset(key, { ...kind, topic }),
      () => this.say((n) => crier.to(random.one(["ada", "nobody", crier.id ?? "x", day.people[0].crier.id ?? "x"]), { n })),
      () => random.chance(0.2) && this.move(),
      () => random.chance(0.1) && crier.reconnect(),
    ])();
  }

  // move leaves b, or joins it again: what happens to one is known before the other.
  async move() {
    const { crier } = this;
    if (!this.many || this.moving) return;
    this.moving = true;
    this.next.delete("b");
    await (crier.room("b") ? crier.leave("b") : crier.join("b", { last: this.day.random.one([undefined, 5]) }));
    this.moving = false;
  }

  // linked tells whether the connection is alive. Nobody can know that of a silent one.
  linked() {
    const session = this.day.server.everySession.get(this.crier.id);
    return this.crier.status === "open" && session?.link?.readyState === 1;
  }

  check() {
    const { crier, day } = this;
    assert.ok(!day.server.disowned, "a session ended by accident");
    assert.equal(crier.status, "open", `ended ${JSON.stringify(crier.ended)}`);
    assert.equal(crier.pending, 0);
    assert.equal(this.fates.size, this.count, "each message has a fate");
    const { values } = day;
    for (const name of ["a", "b"]) {
      const room = crier.room(name);
      if (!room) continue;
      const { here, state, theirs } = day.server.view(name);
      assert.deepEqual(room.here, here);
      const plain = (known) => Object.fromEntries(known);
      const meant = (raw) => Object.fromEntries(Object.entries(raw).map(([key, value]) => [key, values.get(numberOf(value))]));
      assert.deepEqual(plain(room.state), meant(state));
      const others = [...room.theirs].filter(([, known]) => known.size).map(([who, known]) => [who, plain(known)]);
      assert.deepEqual(Object.fromEntries(others), Object.fromEntries(Object.entries(theirs).map(([who, raw]) => [who, meant(raw)])));
      const end = day.server.topic(name).all.length;
      assert.equal(this.next.get(name).at, end, `it has all of ${name}`);
    }
    assert.equal(crier.user, this.user);
  }
}

// On every bad day each message is published once, each fate is true, and each view is right. Not a test() of node:test,
// whose hooks make promises several times slower.
for (const seed of seeds) {
  try {
    await new Day(seed).live();
  } catch (error) {
    throw new Error(`seed ${seed}`, { cause: error });
  }
}
