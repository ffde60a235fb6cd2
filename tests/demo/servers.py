"""Small servers for the demonstration of the public site: mail servers that can be changed while they run, the name server of the
demonstration, and a mirror. All are on the loopback interface, and none needs a privilege."""
import os, socket, struct, threading, time

TEXTS = {
    "closed": "550 5.7.1 <%s>: Relaying denied",
    "defers": "454 4.7.1 <%s>: Relay access denied",
}


class MailServer:
    """A mail server that relays, refuses, defers, or shuts the tester out, as its state file says at each connection."""

    def __init__(self, name, address, port, folder, collector, domains, product="ESMTP"):
        self.name, self.address, self.port, self.product = name, address, port, product
        self.file, self.collector, self.domains = f"{folder}/{name.split('.')[0]}", collector, domains
        self.set("open")
        listener = socket.create_server((address, port), backlog=64)
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()

    def set(self, state):
        with open(self.file, "w") as f: f.write(state + "\n")

    def state(self):
        with open(self.file) as f: return f.read().strip()

    def accept(self, listener):
        while True:
            connection = listener.accept()[0]
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            with connection: self.session(connection.makefile("rwb"))
        except OSError: pass

    def session(self, f):
        def reply(text): f.write(text.encode() + b"\r\n"); f.flush()
        state = self.state()
        if state == "blocks":
            reply("554 5.7.1 No service for your address")
            return
        reply(f"220 {self.name} {self.product}")
        sender, recipients = "", []
        argument = lambda line: line.split(b":", 1)[-1].strip().split(b" ")[0].strip(b"<>").decode(errors="replace")
        for line in f:
            verb = line[:4].upper()
            if verb == b"EHLO": reply(f"250 {self.name}")
            elif verb == b"MAIL": sender, recipients = argument(line), []; reply("250 2.1.0 Ok")
            elif verb == b"RCPT":
                to = argument(line)
                own = to.lower() in ("postmaster", f"postmaster@{self.name}")
                foreign = any(to.lower().endswith("@" + d) for d in self.domains) and not to.startswith(("@", '"'))
                if own or foreign and state == "open":
                    recipients += [] if own else [to]
                    reply("250 2.1.5 Ok")
                else: reply(TEXTS.get(state, TEXTS["closed"]) % to)
            elif verb == b"DATA" and recipients:
                reply("354 End data with <CR><LF>.<CR><LF>")
                lines = iter(f.readline, b".\r\n")
                data = b"".join(lines)
                reply("250 2.0.0 Ok: queued")
                for to in recipients: threading.Thread(target=self.deliver, args=(sender, to, data), daemon=True).start()
                recipients = []
            elif verb == b"DATA": reply("503 5.5.1 Error: need RCPT command")
            elif verb == b"QUIT": reply("221 2.0.0 Bye"); return
            else: reply("250 2.0.0 Ok")

    def deliver(self, sender, to, data):
        try:
            with socket.create_connection(self.collector, 10, (self.address, 0)) as s:
                f = s.makefile("rwb"); f.readline()
                for line in (f"EHLO {self.name}", f"MAIL FROM:<{sender}>", f"RCPT TO:<{to}>", "DATA"):
                    f.write(line.encode() + b"\r\n"); f.flush()
                    while f.readline()[3:4] == b"-": pass
                f.write(data + b".\r\n"); f.flush(); f.readline()
        except OSError: pass


class Inbox:
    """A mail server that prints the mail which orbsd sends, and stores each message in a folder."""

    def __init__(self, port, folder, show):
        self.folder, self.show, self.count = folder, show, 0
        os.makedirs(folder, exist_ok=True)
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            connection = listener.accept()[0]
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            f = connection.makefile("rwb")
            def reply(text): f.write(text.encode() + b"\r\n"); f.flush()
            reply("220 inbox.demo.example ESMTP")
            for line in f:
                verb = line[:4].upper()
                if verb == b"DATA":
                    reply("354 go on")
                    data = b"".join(iter(f.readline, b".\r\n"))
                    self.count += 1
                    path = f"{self.folder}/{self.count}.eml"
                    with open(path, "wb") as out: out.write(data)
                    reply("250 2.0.0 stored")
                    self.show(f"Mail arrived: {path}")
                elif verb == b"QUIT": reply("221 bye"); return
                else: reply("250 ok")


def encode_name(name):
    return b"".join(bytes([len(l)]) + l.encode() for l in name.strip(".").split(".") if l) + b"\0"


class NameServer:
    """Answers the names of the demonstration: A, MX, PTR and SOA from a table, TXT from a file with lines of `NAME TEXT`. Other answers
    have the SOA of their zone, if the table has one."""

    def __init__(self, port, records, txt):
        self.records, self.txt = records, txt
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        open(txt, "a").close()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            query, client = self.socket.recvfrom(4096)
            try: self.socket.sendto(self.answer(query), client)
            except (OSError, IndexError, ValueError, struct.error): pass

    def find(self, name, kind):
        if kind == 16:
            lines = (l.split(maxsplit=1) for l in open(self.txt) if len(l.split()) > 1)
            return [bytes([len(t.strip())]) + t.strip().encode() for n, t in lines if n.lower().strip(".") == name]
        return self.records.get((name, kind), [])

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode().lower()); at += 1 + query[at]
        name, (kind, _) = ".".join(labels), struct.unpack(">HH", query[at + 1:at + 5])
        found = self.find(name, kind)
        exists = found or any(n == name or n.endswith("." + name) for n, _ in self.records)
        parents = [] if found else [".".join(labels[i:]) for i in range(len(labels))]
        soa = [(zone, d) for zone in parents for d in self.records.get((zone, 6), [])][:1]
        head = query[:2] + struct.pack(">HHHHH", 0x8580 | (0 if exists else 3), 1, len(found), len(soa), 0)
        body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(d)) + d for d in found)
        body += b"".join(encode_name(zone) + struct.pack(">HHIH", 6, 1, 60, len(d)) + d for zone, d in soa)
        return head + query[12:at + 5] + body


class Mirror:
    """Answers SOA as a secondary server does that takes some seconds to copy a zone: as the primary did before."""

    def __init__(self, port, primary, delay):
        self.delay, self.primary, self.serials = delay, primary, {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        threading.Thread(target=self.serve, daemon=True).start()
        threading.Thread(target=self.copy, daemon=True).start()

    def ask(self, question):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(2)
            s.sendto(b"\0\1\0\0\0\1\0\0\0\0\0\0" + question, ("127.0.0.1", self.primary))
            return s.recv(4096)

    def copy(self):
        while True:
            for question in list(self.serials):
                try: answer = self.ask(question)
                except OSError: continue
                self.serials[question].append((time.monotonic(), answer))
                old = [a for a in self.serials[question] if a[0] + self.delay <= time.monotonic()]
                self.serials[question] = old[-1:] + [a for a in self.serials[question] if a not in old]
            time.sleep(0.5)

    def serve(self):
        while True:
            query, client = self.socket.recvfrom(4096)
            end = 12
            while query[end]: end += 1 + query[end]
            question = query[12:end + 5]
            if query[2] >> 3 & 15 == 4:  # NOTIFY
                self.socket.sendto(query[:2] + b"\xa4\0" + query[4:6] + bytes(6) + question, client)
                question = encode_question(question)
                self.serials.setdefault(question, [])
                continue
            known = self.serials.setdefault(question, [])
            try: answer = known[0][1] if known else self.ask(question)
            except OSError: continue
            self.socket.sendto(query[:2] + answer[2:], client)


def encode_question(question):
    """Returns the question as it is asked for the SOA, without the case of its name."""
    return question[:-4].lower() + b"\0\6\0\1"
