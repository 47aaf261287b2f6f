"""docs/PYTHON.md as it stands there: its installation, its example, its recipes for Django and FastAPI; and README's
transaction with a database. Real databases; small_coordinator.py decides."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from enlist_testing import DEADLINE, PACKAGE, ROOT, EnlistTest, servers, start_servers, stop_servers

import django.conf
import fastapi
import psycopg2
import sqlalchemy
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

import assent

with open(os.path.join(ROOT, "docs", "PYTHON.md")) as page:
    PAGE = page.read()


def blocks(language):
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", PAGE)


EXAMPLE, DJANGO, FASTAPI = blocks("python")


def setUpModule():
    start_servers()
    servers["postgresql"].sql("CREATE TABLE orders (id int PRIMARY KEY, item text)", database="app", user="app")
    servers["mariadb"].sql("CREATE TABLE app.invoices (id int PRIMARY KEY, cents int NOT NULL)")


tearDownModule = stop_servers


class PageTest(EnlistTest):
    def setUp(self):
        super().setUp()
        servers["postgresql"].sql("TRUNCATE orders", database="app")
        servers["mariadb"].sql("TRUNCATE app.invoices")

    def ids(self):
        return [[number for number, in rows] for rows in (
            servers["postgresql"].sql("SELECT id FROM orders ORDER BY id", database="app"),
            servers["mariadb"].sql("SELECT id FROM app.invoices ORDER BY id"))]


class ThePage(PageTest):
    def test_its_commands_install_what_its_example_needs(self):
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        tree = os.path.join(directory, "client", "python")  # setuptools builds inside of what it installs
        shutil.copytree(PACKAGE, tree, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
        shutil.copytree(os.path.join(ROOT, "thrift"), os.path.join(directory, "thrift"))
        with open(os.path.join(directory, "order.py"), "w") as file:
            file.write(EXAMPLE)
        commands = blocks("bash")[0].replace("\\\n", "")
        apt, make, install = commands.splitlines()
        packages = set(apt.split()[2:])
        with open(os.path.join(ROOT, "scripts", "packages.txt")) as file:
            self.assertEqual(packages - set(file.read().split()), set())  # so that they are installed here
        environment = {**os.environ, "PYTHONPATH": "", "PIP_NO_INDEX": "1",
                       "PATH": "/usr/bin:" + os.environ["PATH"],  # Debian's Python
                       "ORDERS_URL": servers["postgresql"].url("postgresql+psycopg2"),
                       "BILLING_URL": servers["mariadb"].url(), "ASSENT_CONNECT": self.coordinator.address}
        for command in (make, install, "venv/bin/python order.py"):
            done = subprocess.run(["bash", "-c", command], cwd=directory, env=environment, capture_output=True,
                                  text=True, timeout=DEADLINE)
            self.assertEqual(done.returncode, 0, command + done.stdout + done.stderr)
        self.assertEqual(done.stdout, "[(1, 'a chair'), (3, 'a lamp')]\n")
        self.assertEqual((self.ids(), self.coordinator.values), ([[1, 3], [1, 3]], {b"orders/count": b"2"}))


class Readme(PageTest):
    def test_its_transaction_with_a_database(self):
        with open(os.path.join(ROOT, "README.md")) as page:
            example, = re.findall(r"(?ms)^```python\n# given: cluster, connection\n(.*?)^```$", page.read())
        servers["postgresql"].sql("INSERT INTO accounts VALUES (1, 100)", database="app")
        self.addCleanup(servers["postgresql"].sql, "TRUNCATE accounts", database="app")
        with contextlib.closing(psycopg2.connect(servers["postgresql"].dsn())) as connection:
            exec(example, {"cluster": self.client, "connection": connection})
        self.assertEqual(servers["postgresql"].sql("SELECT amount FROM accounts", database="app"), [(90,)])
        self.assertEqual(self.coordinator.values, {b"accounts/bob": b"10"})


class Django(PageTest):
    @classmethod
    def setUpClass(cls):
        common = {"HOST": "127.0.0.1", "NAME": "app", "USER": "app"}
        django.conf.settings.configure(DATABASES={
            "default": {**common, "ENGINE": "django.db.backends.postgresql", "PORT": servers["postgresql"].port},
            "billing": {**common, "ENGINE": "django.db.backends.mysql", "PORT": servers["mariadb"].port}},
            USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.AutoField")
        django.setup()
        from django.db import models

        class Order(models.Model):
            id = models.IntegerField(primary_key=True)
            item = models.TextField()

            class Meta:
                app_label, db_table = "shop", "orders"

        class Invoice(models.Model):
            id = models.IntegerField(primary_key=True)
            cents = models.IntegerField()

            class Meta:
                app_label, db_table = "shop", "invoices"
        cls.models = {"Order": Order, "Invoice": Invoice}

    def setUp(self):
        super().setUp()
        import assent.django
        from django.db import connections, transaction
        self.transaction = transaction
        self.addCleanup(connections.close_all)
        self.using = {"default": "orders", "billing": "billing"}

    def atomic(self):
        return assent.django.atomic(self.client, using=self.using)

    def test_the_recipe(self):
        exec(DJANGO, {"assent": assent, "cluster": self.client, **self.models})
        self.assertEqual((self.ids(), self.prepared()), ([[1], [1]], []))
        self.assertEqual(self.coordinator.values, {b"orders/count": b"1"})
        self.models["Order"].objects.create(id=2, item="x")  # committed at once, as Django does
        self.assertEqual(self.ids(), [[1, 2], [1]])

    def test_an_error_rolls_both_back_and_hooks_run_after_the_commit_only(self):
        ran = []
        for fails in (True, False):
            try:
                with self.atomic():
                    self.models["Order"].objects.create(id=1, item="x")
                    self.models["Invoice"].objects.using("billing").create(id=1, cents=1)
                    self.transaction.on_commit(lambda: ran.append(self.ids()))
                    if fails:
                        raise KeyError
            except KeyError:
                self.assertEqual((self.ids(), ran), ([[], []], []))
        self.assertEqual(ran, [[[1], [1]]])

    def test_an_atomic_inside_is_a_savepoint(self):
        for alias, model in (("default", "Order"), ("billing", "Invoice")):
            rows = self.models[model].objects.using(alias)
            fields = {"item": "x"} if model == "Order" else {"cents": 1}
            with self.subTest(alias):
                with self.atomic():
                    rows.create(id=1, **fields)
                    with self.assertRaises(django.db.IntegrityError), self.transaction.atomic(using=alias):
                        rows.create(id=1, **fields)
                    rows.create(id=2, **fields)
                self.assertEqual(list(rows.values_list("id", flat=True)), [1, 2])

    def test_an_error_that_was_swallowed_is_an_abort(self):
        for alias, model in (("default", "Order"), ("billing", "Invoice")):
            rows = self.models[model].objects.using(alias)
            fields = {"item": "x"} if model == "Order" else {"cents": 1}
            for savepoint in (False, None):  # None: no atomic at all
                with self.subTest(f"{alias} {savepoint}"), self.assertRaises(assent.Aborted), self.atomic():
                    rows.create(id=1, **fields)
                    if savepoint is None:
                        self.assertRaises(django.db.IntegrityError, rows.create, id=1, **fields)
                    else:
                        with self.assertRaises(django.db.IntegrityError), self.transaction.atomic(
                                using=alias, savepoint=False):
                            rows.create(id=1, **fields)
        self.assertEqual((self.ids(), self.prepared()), ([[], []], []))

    def test_inside_of_another_atomic_it_is_refused(self):
        with self.transaction.atomic(), self.assertRaisesRegex(RuntimeError, "durable"):
            with self.atomic():
                self.fail("it was begun")

    def test_after_an_unknown_outcome_the_branches_can_be_ended(self):
        self.coordinator.lost_commits = ["reply"] * 1000
        client = assent.connect(self.coordinator.address, timeout=0.3)
        self.addCleanup(client.close)
        with self.assertRaises(assent.OutcomeUnknown), assent.django.atomic(client, using=self.using) as tx:
            self.models["Order"].objects.create(id=1, item="x")
            self.models["Invoice"].objects.using("billing").create(id=1, cents=1)
        self.assertEqual(len(self.prepared()), 2)
        # Django has closed the connection, whose ROLLBACK was refused: so that the cluster can commit the branch.
        self.end_as_coordinator(tx.id, True)
        self.assertEqual(self.ids(), [[1], [1]])


class FastApi(PageTest):
    def setUp(self):
        super().setUp()
        names = {"assent": assent, "cluster": self.client, "FastAPI": fastapi.FastAPI, "Request": fastapi.Request,
                 "JSONResponse": JSONResponse, "text": sqlalchemy.text,
                 "orders": sqlalchemy.create_engine(servers["postgresql"].url("postgresql+psycopg2")),
                 "billing": sqlalchemy.create_engine(servers["mariadb"].url())}
        exec(FASTAPI, names)
        self.web = TestClient(names["app"], raise_server_exceptions=False)

    def test_the_recipe(self):
        self.assertEqual(self.web.post("/orders/1?cents=5").json(), {"order": 1})
        self.assertEqual(self.ids(), [[1], [1]])
        self.assertEqual(self.web.post("/orders/1?cents=5").status_code, 500)  # the driver's own error
        self.coordinator.refuse_next = assent.AbortReason.WOUNDED.value
        self.assertEqual(self.web.post("/orders/2?cents=5").status_code, 503)
        self.coordinator.refuse_next = assent.AbortReason.CHECK_FAILED.value
        self.assertEqual(self.web.post("/orders/2?cents=5").status_code, 409)
        self.client._timeout = 0.3
        self.coordinator.lost_commits = ["reply"] * 1000
        unknown = self.web.post("/orders/3?cents=5")
        self.assertEqual((unknown.status_code, self.ids()), (504, [[1], [1]]))
        self.coordinator.lost_commits = []
        with self.warned("billing", "orders"):  # whose connections were given back
            found = self.client.outcome(unknown.json()["token"])
        self.assertEqual(list(found.unfinished), ["billing", "orders"])
        self.end_as_coordinator(found.txn, True)
        self.assertEqual(self.ids(), [[1, 3], [1, 3]])
        self.assertEqual(self.web.post("/orders/4?cents=5").json(), {"order": 4})

    def test_why_the_transaction_is_no_dependency(self):
        app = fastapi.FastAPI()

        def begin():
            with self.client.transaction() as tx:
                yield tx

        @app.post("/")
        def post(tx=fastapi.Depends(begin)):
            tx.put("k", "v")
            return "done"
        self.coordinator.refuse_next = assent.AbortReason.CHECK_FAILED.value
        told = TestClient(app, raise_server_exceptions=False).post("/")
        self.assertEqual((told.status_code, self.coordinator.values), (200, {}))  # told of a success that was none


if __name__ == "__main__":
    unittest.main(verbosity=2)
