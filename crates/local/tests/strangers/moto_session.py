"""The daemon against moto's server, which others wrote: `moto_session.py EVENKEEL_LOCAL`.

moto has no service scheduler and no service-deployment calls, so nothing here becomes healthy; what is
seen is that the daemon creates, finds again by digest, updates, says what is missing, and writes nothing
without need.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import boto3
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.server import ThreadedMotoServer

WRITES = []
OPERATIONS = ["create_service", "update_service", "register_task_definition", "tag_resource",
              "untag_resource", "delete_service", "deregister_task_definition"]


def record(operation):
    original = getattr(EC2ContainerServiceResponse, operation)

    def recorded(self):
        WRITES.append(operation)
        return original(self)

    setattr(EC2ContainerServiceResponse, operation, recorded)


for operation in OPERATIONS:
    record(operation)

MANIFEST = """
apiVersion: evenkeel.dev/v1
kind: Service
metadata: {{name: web}}
spec:
  cluster: moto
  taskDefinition:
    family: web
    networkMode: awsvpc
    requiresCompatibilities: [FARGATE]
    cpu: "256"
    memory: "512"
    containerDefinitions:
      - {{name: web, image: "web:{tag}", portMappings: [{{containerPort: 8080}}]}}
  service:
    desiredCount: 1
    launchType: FARGATE
    networkConfiguration: {{awsvpcConfiguration: {{subnets: [{subnet}], securityGroups: [{group}]}}}}
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def until(what, condition, patience=60):
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not in {patience} s: {what}; writes: {WRITES}"
        time.sleep(0.1)
    return value


class Daemon:
    def __init__(self, program, manifests):
        self.port = free_port()
        arguments = ["--manifests", manifests, "--listen", f"127.0.0.1:{self.port}"]
        paces = ["--rollout-poll-ms", "200", "--resync-ms", "1000"]
        self.process = subprocess.Popen(
            [program, "daemon", *arguments, *paces], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def status(self):
        try:
            url = f"http://127.0.0.1:{self.port}/v1/services/moto/web"
            with urllib.request.urlopen(url, timeout=5) as reply:
                return json.load(reply)
        except OSError:
            assert self.process.poll() is None, "the daemon ended"
            return None

    def looks(self, times):
        """Waits until the daemon has looked that many times."""
        seen = set()

        def enough():
            status = self.status()
            seen.add(status and status["observedAt"])
            return len(seen) > times

        until(f"{times} looks", enough)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0, "the daemon ended with an error"


def main(program):
    port = free_port()
    server = ThreadedMotoServer(port=port)
    server.start()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
    }
    ecs, ec2 = boto3.client("ecs"), boto3.client("ec2")
    ecs.create_cluster(clusterName="moto")
    places = {
        "subnet": ec2.describe_subnets()["Subnets"][0]["SubnetId"],
        "group": ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"],
    }

    def service():
        found = ecs.describe_services(cluster="moto", services=["web"], include=["TAGS"])["services"]
        return found[0] if found else None

    def runs(revision):
        found = service()
        return found and found["taskDefinition"].endswith(f"web:{revision}")

    with tempfile.TemporaryDirectory() as manifests:
        manifest = pathlib.Path(manifests, "web.yaml")
        manifest.write_text(MANIFEST.format(tag="v1", **places))
        daemon = Daemon(program, manifests)
        until("the service is created", lambda: runs(1))
        until("the missing call is named", lambda: "ListServiceDeployments" in json.dumps(daemon.status()))
        tags = {tag["key"] for tag in service()["tags"]}
        assert "evenkeel:owner" in tags, tags
        assert WRITES.count("register_task_definition") == WRITES.count("create_service") == 1, WRITES

        daemon.looks(10)
        before = list(WRITES)
        daemon.looks(10)
        assert WRITES == before, f"passes without a change wrote {WRITES[len(before):]}"

        daemon.stop()
        daemon = Daemon(program, manifests)
        daemon.looks(5)
        assert WRITES == before, f"the restarted daemon wrote {WRITES[len(before):]}"

        manifest.write_text(MANIFEST.format(tag="v2", **places))
        until("the update", lambda: runs(2))
        assert WRITES.count("register_task_definition") == 2, WRITES
        assert WRITES.count("update_service") >= 1 and WRITES.count("create_service") == 1, WRITES
        daemon.stop()
    server.stop()
    print("moto: all as it should be")


main(sys.argv[1])
