"""The files in deploy/ for a PostgreSQL of several servers. Patroni's run in tests/acceptance/test_patroni.py."""

import re

from tests.helpers.deploy import DEPLOY, tool

MANIFEST = DEPLOY / "kubernetes" / "postgres.yaml"
TEXT = MANIFEST.read_text()


def test_the_manifest_is_right_as_far_as_that_can_be_told_here() -> None:
    """It is YAML, and each part has a kind. The operator's own kinds are not in the schema of Kubernetes."""
    said = tool("kubernetes-validate", "--strict", str(MANIFEST))
    complaints = re.findall(r"^(.*?) \S+postgres\.yaml .* for kind (\w+) with", said.stdout + said.stderr, re.MULTILINE)
    assert complaints == [("WARN", kind) for kind in ("Cluster", "ObjectStore", "ScheduledBackup")]
    assert said.returncode == 0


def test_its_parts_name_each_other() -> None:
    cluster, store, backup = TEXT.split("\n---\n")
    [name, bucket, backed_up] = [part.split("metadata:\n  name: ")[1].split()[0] for part in (cluster, store, backup)]
    assert f"{{barmanObjectName: {bucket}}}" in cluster
    assert f"cluster: {{name: {name}}}" in backup
    assert name == backed_up
    [plugin] = re.findall(r"- name: (barman\S+)", cluster)
    assert f"pluginConfiguration: {{name: {plugin}}}" in backup
    assert f"generic {bucket} --from-literal=key=… --from-literal=secret=…" in cluster
    assert re.findall(r"\{name: (\S+), key: (\w+)\}", store) == [(bucket, "key"), (bucket, "secret")]
    # Where kubernetes/boss.yaml finds the URL.
    assert f"get secret {name}-app" in cluster
    assert "secretKeyRef: {name: boss, key: database}" in (DEPLOY / "kubernetes" / "boss.yaml").read_text()
    assert "create secret generic boss --from-literal=database=" in cluster


def test_the_page_restores_from_the_same_archive() -> None:
    page = (DEPLOY.parent / "docs" / "high-availability.md").read_text()
    [shown] = re.findall(r"parameters: (\{barmanObjectName: .*\})", page)
    assert shown == "{barmanObjectName: boss-bucket, serverName: boss-postgres}"
    assert "{barmanObjectName: boss-bucket}" in TEXT
    assert "metadata:\n  name: boss-postgres\n" in TEXT


def test_both_synchronous_settings_are_the_safe_ones() -> None:
    assert "dataDurability: required, failoverQuorum: true" in TEXT
    assert "\n    synchronous_mode: true\n" in (DEPLOY / "patroni" / "patroni.yml").read_text()
