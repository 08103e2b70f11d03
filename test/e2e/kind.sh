#!/bin/sh
# Makes a cluster with kind on which `make e2e` can run, and prints how. kind's own network masquerades by itself, so the
# cluster is made without it, and with the plugin ptp, which its nodes have and which leaves that to others.
#   test/e2e/kind.sh && make e2e LOAD_IMAGE=... ON_NODE=...      (as printed)
#   kind delete cluster --name ip-masq-agent-e2e
set -eu
name=ip-masq-agent-e2e
node=$name-control-plane
kind create cluster --name "$name" --config - <<'CONFIG'
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking:
  disableDefaultCNI: true
  podSubnet: 10.244.0.0/16
CONFIG
docker exec -i "$node" tee /etc/cni/net.d/10-e2e.conflist >/dev/null <<'CNI'
{"cniVersion": "0.4.0", "name": "e2e", "plugins": [
  {"type": "ptp", "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
CNI
kubectl --context "kind-$name" wait --for=condition=Ready --timeout=120s "node/$node"
echo "make e2e LOAD_IMAGE='kind load image-archive --name $name' ON_NODE='docker exec $node'"
