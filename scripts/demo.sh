#!/usr/bin/env bash
# A node, four pods and a client outside, each in a network namespace of its own, and real requests through the rules
# that `switchyard apply` writes for the bank of golden/yaobank. Everything is gone when it ends.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"

cluster=golden/yaobank/cluster.yaml
config=golden/yaobank/config.yaml
node_ip=198.19.0.2
client_ip=203.0.113.5
summary=198.19.36.113
database=198.19.33.51
# In the order in which they are shown.
hosts=(customer summary-1 summary-2 database client)
declare -A address=(
    [customer]=198.19.22.132 [summary-1]=198.19.22.131 [summary-2]=198.19.21.1 [database]=198.19.21.69
    [client]=$client_ip
)
declare -A what=(
    [customer]="pod of this node" [summary-1]="pod of this node" [summary-2]="pod of another node"
    [database]="pod of another node" [client]="outside the cluster"
)

echo "Building."
for product in switchyard traffic-peer; do
    swift build --quiet --product "$product"
done
bin=$(swift build --show-bin-path)
switchyard=${SWITCHYARD_EXECUTABLE:-$bin/switchyard}
peer=$bin/traffic-peer

if [[ $(id -u) != 0 ]] || ! unshare --net true 2>/dev/null; then
    echo "Network namespaces need root and are refused here, so there will be no traffic."
    echo "These are the rules that the node would get:"
    "$switchyard" render -f "$cluster" --config "$config"
    [[ ${CI:-} != true ]]
    exit
fi

prefix=demo-$$
servers=()
made=()
clean_up() {
    trap '' INT TERM
    for pid in "${servers[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    for name in "${made[@]}"; do
        ip netns del "$name" || true
    done
}
trap clean_up EXIT
trap 'exit 130' INT TERM

make_namespace() {
    made+=("$prefix-$1")
    ip netns add "$prefix-$1"
    ip -n "$prefix-$1" link set lo up
}

# Runs a program in a namespace: on NAME PROGRAM...
on() {
    local name=$1
    shift
    ip netns exec "$prefix-$name" "$@"
}

# Starts a server and waits until it listens: serve NAME OPTIONS...
serve() {
    local name=$1 line output
    shift
    exec {output}< <(exec ip netns exec "$prefix-$name" "$peer" serve --name "$name" --http "$@")
    servers+=("$!")
    read -r -t 10 -u "$output" line && [[ $line == ready ]]
}

# Prints the page that a server answers, a line per server that took part: page FROM ADDRESS PORT
page() {
    on "$1" "$peer" ask --tcp "$2" "$3" --http | cut -f 1 | sed 's/; /\n/g' |
        awk '{printf "       %-10s was asked by %s\n", $1, $2}'
}

echo
echo "1. A node and five hosts, each in a network namespace of its own; every packet passes the node."
make_namespace node
on node sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
printf '       %-10s %s\n' node "$node_ip"
for host in "${hosts[@]}"; do
    make_namespace "$host"
    ip -n "$prefix-node" link add "$host" type veth peer name eth0 netns "$prefix-$host"
    ip -n "$prefix-node" link set "$host" up
    ip -n "$prefix-$host" link set eth0 up
    ip -n "$prefix-node" route add "${address[$host]}" dev "$host"
    ip -n "$prefix-$host" addr add "${address[$host]}/32" dev eth0
    ip -n "$prefix-$host" route add default via "$node_ip" dev eth0 onlink
    printf '       %-10s %-15s %s\n' "$host" "${address[$host]}" "${what[$host]}"
done
ip -n "$prefix-node" addr add "$node_ip/32" dev client
ip -n "$prefix-node" route add default via "$client_ip" dev client onlink

serve database --tcp 2379
serve summary-1 --tcp 80 --upstream "$database" 2379
serve summary-2 --tcp 80 --upstream "$database" 2379
serve customer --tcp 80 --upstream "$summary" 80

echo
echo "2. The client asks for the customer page at the node's port 30180. No rules are there yet, so nobody listens:"
printf '       %s\n' "$(on client "$peer" ask --tcp "$node_ip" 30180 --http | cut -f 1)"

echo
echo "3. \`switchyard apply\` reads the cluster's objects from $cluster"
echo "   and commits the node's rules to its kernel."
on node "$switchyard" apply -f "$cluster" --config "$config"

echo
echo "4. The same request again. The customer asks summary, which asks the database, each by a cluster IP:"
answer=$(page client "$node_ip" 30180)
echo "$answer"
if [[ $(wc -l <<<"$answer") != 3 ]]; then
    echo "That is not the answer of three servers: the rules do not do what they should." >&2
    exit 1
fi
echo "   The client is $client_ip; behind a node port the customer sees the node instead, so that its"
echo "   answer comes back this way. Inside the cluster pods see each other's own addresses."

echo
echo "5. The customer asks summary's cluster IP, http://$summary, 200 times. Who answered?"
on customer "$peer" ask --tcp "$summary" 80 --http --count 200 --summary |
    awk '{count[$2] += $1} END {for (name in count) printf "       %-10s %3d\n", name, count[name]}' | sort

echo
echo "Done; the namespaces and everything in them are deleted."
