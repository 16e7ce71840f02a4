"""A stand-in of the Hub over HTTP: create, upload, list, download of one revision; in memory, for tests alone.

It speaks as much of the protocol as ``huggingface_hub`` and ``datasets`` use. ``HF_ENDPOINT`` points to it in the
processes that are to use it; it knows one user, ``ann``, who is a member of ``org``.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_of_ann"
NAMESPACES = ("ann", "org")
TREE = dict[str, bytes]
_LARGE = (".safetensors", ".parquet")
_DATE = "2026-01-01T00:00:00.000Z"
_TYPES = {"models": "model", "datasets": "dataset", "spaces": "space"}


@dataclass
class Repository:
    private: bool
    commits: dict[str, TREE] = field(default_factory=dict)
    head: str = ""

    def commit(self, tree):
        content = repr((len(self.commits), sorted((path, git_oid(data)) for path, data in tree.items())))
        self.head = hashlib.sha1(content.encode()).hexdigest()
        self.commits[self.head] = tree
        return self.head

    def at(self, revision):
        return self.head if revision == "main" else revision


class HubStandIn:
    """Runs in a thread between ``with`` and the end of the block.

    Attributes:
        repositories: By kind (``"model"``, ``"dataset"``) and id.
        requests: Method and path of all requests, in order.
        collections: By slug the title, owner and items, each with kind and id.
    """

    def __init__(self):
        self.repositories = {}
        self.objects = {}
        self.requests = []
        self.collections = {}

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    def environment(self, home, token=TOKEN):
        """What a process needs to use it, with an empty cache in ``home``."""
        found = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
        return {**found, **({"HF_TOKEN": token} if token else {})}

    def create_for_others(self, repo_id, kind="model"):
        """A public repository of somebody else."""
        repository = self.repositories[kind, repo_id] = Repository(private=False)
        repository.commit({"README.md": b"# theirs"})

    def files(self, repo_id, kind="model"):
        """The files of the newest commit."""
        repository = self.repositories[kind, repo_id]
        return repository.commits[repository.head]


def git_oid(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_large(path):
    return path.endswith(_LARGE)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubStandIn

    def log_message(self, *_):
        pass

    def handle_any(self):
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        for method, pattern, answer in _ROUTES:
            if method == self.command and (found := re.fullmatch(pattern, path)):
                return answer(self, *found.groups())
        return self.refuse(404, "EntryNotFound", f"no route {self.command} {path}")

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def reply(self, document, status=200, headers=()):
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(document, bytes) else "application/json"
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(data))), *headers):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def refuse(self, status, code, text):
        self.reply({"error": text}, status, [("X-Error-Code", code), ("X-Error-Message", text)])

    @property
    def is_ann(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def may_write(self, repo_id):
        if not self.is_ann:
            self.refuse(401, "Unauthorized", "Invalid username or password.")
            return False
        if repo_id.split("/")[0] not in NAMESPACES:
            self.refuse(403, "Forbidden", "You don't have the rights.")
            return False
        return True

    def repository(self, kind, repo_id, revision="main"):
        found = self.hub.repositories.get((kind, repo_id))
        if found is None or (found.private and not self.is_ann):
            self.refuse(404 if self.is_ann else 401, "RepoNotFound", "Repository not found")
            return None
        if found.at(revision) not in found.commits:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return found

    # accounts

    def who(self):
        if not self.is_ann:
            return self.refuse(401, "Unauthorized", "Invalid username or password.")
        return self.reply({"type": "user", "name": "ann", "orgs": [{"name": "org"}], "auth": {"type": "access_token"}})

    def validate_card(self):
        self.reply({"errors": [], "warnings": []})

    # writing

    def create(self):
        asked = json.loads(self.body)
        repo_id = f"{asked.get('organization') or 'ann'}/{asked['name']}"
        kind = asked.get("type", "model")
        is_private = bool(asked.get("private")) or asked.get("visibility") == "private"
        if not self.may_write(repo_id):
            return None
        url = f"{self.hub.endpoint}/{'' if kind == 'model' else f'{kind}s/'}{repo_id}"
        if (kind, repo_id) in self.hub.repositories:
            return self.reply({"error": "You already created this model repo", "url": url}, 409)
        repository = self.hub.repositories[kind, repo_id] = Repository(is_private)
        repository.commit({".gitattributes": b""})
        return self.reply({"url": url, "name": repo_id, "id": repo_id})

    def preupload(self, kind, repo_id, revision):
        files = json.loads(self.body)["files"]
        answers = [
            {"path": each["path"], "uploadMode": "lfs" if is_large(each["path"]) else "regular", "shouldIgnore": False}
            for each in files
        ]
        self.reply({"files": answers})

    def large_batch(self, kind, repo_id):
        objects = [
            {
                "oid": each["oid"],
                "size": each["size"],
                "actions": {"upload": {"href": f"{self.hub.endpoint}/large/{each['oid']}", "header": {}}},
            }
            for each in json.loads(self.body)["objects"]
        ]
        self.reply({"transfer": "basic", "objects": objects})

    def put_large(self, oid):
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.objects[oid] = self.body
        self.reply({})

    def commit(self, kind, repo_id, revision):
        if not self.may_write(repo_id):
            return None
        if (repository := self.repository(_TYPES[kind], repo_id, revision)) is None:
            return None
        tree = dict(repository.commits[repository.at(revision)])
        for line in self.body.decode().splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                tree[value["path"]] = self.hub.objects[value["oid"]]
            elif item["key"] == "deletedFile":
                del tree[value["path"]]
        sha = repository.commit(tree)
        url = f"{self.hub.endpoint}/{repo_id}/commit/{sha}"
        return self.reply({"commitUrl": url, "commitOid": sha, "hookOutput": "", "success": True})

    def create_collection(self):
        asked = json.loads(self.body)
        if not self.may_write(f"{asked['namespace']}/any"):
            return None
        slug = f"{asked['namespace']}/{asked['title'].lower().replace(' ', '-')}-1"
        if slug in self.hub.collections:
            return self.reply({"error": "This collection exists", "slug": slug}, 409)
        self.hub.collections[slug] = {"title": asked["title"], "private": asked["private"], "items": []}
        return self.collection(slug)

    def collection(self, slug):
        found = self.hub.collections[slug]
        items = [
            {"_id": str(n), "id": name, "type": kind, "position": n} for n, (kind, name) in enumerate(found["items"])
        ]
        about = {"slug": slug, "title": found["title"], "owner": {"name": slug.split("/")[0]}, "items": items}
        rest = {"lastUpdated": _DATE, "position": 0, "theme": "green", "upvotes": 0, "private": found["private"]}
        return self.reply({**about, **rest})

    def add_to_collection(self, slug):
        asked = json.loads(self.body)["item"]
        item, items = (asked["type"], asked["id"]), self.hub.collections[slug]["items"]
        if (item[0], item[1]) not in self.hub.repositories:
            return self.refuse(404, "RepoNotFound", "Repository not found")
        if item in items:
            return self.reply({"error": "This item is there"}, 409)
        items.append(item)
        return self.collection(slug)

    # reading

    def info(self, kind, repo_id, revision="main"):
        if (repository := self.repository(_TYPES[kind], repo_id, revision)) is None:
            return None
        sha = repository.at(revision)
        names = [{"rfilename": path} for path in sorted(repository.commits[sha])]
        document = {"_id": "1", "id": repo_id, "sha": sha, "private": repository.private, "siblings": names}
        return self.reply({**document, "tags": [], "lastModified": _DATE, "createdAt": _DATE, "downloads": 0})

    def tree(self, kind, repo_id, revision, folder=""):
        if (repository := self.repository(_TYPES[kind], repo_id, revision)) is None:
            return None
        tree = repository.commits[repository.at(revision)]
        folder = (folder or "").strip("/")
        recursive = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() in ("true", "1")
        entries = [each for each in _entries(tree) if _is_in(each["path"], folder, recursive)]
        if folder and not entries:
            return self.refuse(404, "EntryNotFound", f"{folder} does not exist")
        return self.reply(entries)

    def paths_info(self, kind, repo_id, revision):
        if (repository := self.repository(_TYPES[kind], repo_id, revision)) is None:
            return None
        if "json" in self.headers.get("Content-Type", ""):
            asked = json.loads(self.body)["paths"]
        else:
            asked = parse_qs(self.body.decode())["paths"]
        tree = repository.commits[repository.at(revision)]
        return self.reply([each for each in _entries(tree) if each["path"] in asked])

    def resolve(self, prefix, repo_id, revision, path):
        kind = _TYPES.get((prefix or "").strip("/"), "model")
        if (repository := self.repository(kind, repo_id, revision)) is None:
            return None
        sha = repository.at(revision)
        commit = ("X-Repo-Commit", sha)
        if path not in repository.commits[sha]:
            text = f"{path} does not exist"
            headers = [("X-Error-Code", "EntryNotFound"), ("X-Error-Message", text), commit]
            return self.reply({"error": text}, 404, headers)
        data = repository.commits[sha][path]
        etag = hashlib.sha256(data).hexdigest() if is_large(path) else git_oid(data)
        headers = [("ETag", f'"{etag}"'), commit, ("Accept-Ranges", "bytes")]
        if span := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(span[1]), int(span[2] or len(data) - 1)
            headers.append(("Content-Range", f"bytes {first}-{min(last, len(data) - 1)}/{len(data)}"))
            return self.reply(data[first : last + 1], 206, headers)
        return self.reply(data, 200, headers)


def _is_in(path, folder, recursive):
    if folder and not path.startswith(folder + "/"):
        return False
    return recursive or "/" not in path[len(folder) :].strip("/")


def _entries(tree):
    folders = {path.rsplit("/", n)[0] for path in tree for n in range(1, path.count("/") + 1)}
    found = [{"type": "directory", "path": path, "oid": git_oid(path.encode()), "size": 0} for path in folders]
    for path, data in tree.items():
        entry = {"type": "file", "path": path, "oid": git_oid(data), "size": len(data)}
        if is_large(path):
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        found.append(entry)
    return sorted(found, key=lambda entry: entry["path"])


_REPO = r"/api/(models|datasets|spaces)/([^/]+/[^/]+)"
_ROUTES = [
    ("GET", r"/api/whoami-v2", _Handler.who),
    ("POST", r"/api/validate-yaml", _Handler.validate_card),
    ("POST", r"/api/repos/create", _Handler.create),
    ("POST", r"/api/collections", _Handler.create_collection),
    ("GET", r"/api/collections/([^/]+/[^/]+)", _Handler.collection),
    ("POST", r"/api/collections/([^/]+/[^/]+)/items", _Handler.add_to_collection),
    ("POST", _REPO + r"/preupload/([^/]+)", _Handler.preupload),
    ("POST", r"/(datasets/|spaces/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", _Handler.large_batch),
    ("PUT", r"/large/(\w+)", _Handler.put_large),
    ("POST", _REPO + r"/commit/([^/]+)", _Handler.commit),
    ("GET", _REPO, _Handler.info),
    ("GET", _REPO + r"/revision/([^/]+)", _Handler.info),
    ("GET", _REPO + r"/tree/([^/]+)(/.*)?", _Handler.tree),
    ("POST", _REPO + r"/paths-info/([^/]+)", _Handler.paths_info),
    ("GET", r"/(datasets/|spaces/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", _Handler.resolve),
    ("HEAD", r"/(datasets/|spaces/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", _Handler.resolve),
]
