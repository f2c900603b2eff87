package discovery

import "time"

// Bounds on what one cluster may advertise to another, and so on what a source may put into the catalog.
const (
	// MaxServices is how many services one cluster may have or export.
	MaxServices = 20_000
	// MaxPorts is how many ports one service may have.
	MaxPorts = 256
	// MaxAddresses is how many addresses callers may reach one service on.
	MaxAddresses = 64
	// maxPods is how many named pods of a headless service are advertised: they and the longest list of rows fit into one message.
	maxPods = 500
	// maxMapEntries, maxLabelBytes and maxAnnotationBytes bound what one ServiceExport exports of each kind, in entries and
	// bytes of keys and values: more labels than objects have, and a sixteenth of what Kubernetes allows an object's annotations.
	maxMapEntries      = 64
	maxLabelBytes      = 16 << 10
	maxAnnotationBytes = 16 << 10
	// maxReadiness is how many rows (port and locality) are advertised of one service: such a list still fits into one message.
	maxReadiness = 1024
	// maxEndpoints bounds a readiness count: more than any cluster has.
	maxEndpoints = 1_000_000
	// maxReplicas is how many processes of one peer are accepted; the links of more end with an error.
	maxReplicas = 64
	// maxReplicaName is the longest name of a replica, in bytes.
	maxReplicaName = 253
	// maxAdvertBytes bounds the memory of one replica's advert, as exportCost estimates it: 20,000 services of three ports in
	// six zones take about 40 MiB.
	maxAdvertBytes = 64 << 20
	// maxAppProtocol is the longest appProtocol, in bytes: a domain prefix and a name (Kubernetes' qualified name).
	maxAppProtocol = 253 + 1 + 63
)

// Pace of the exchange.
const (
	// messageSize is the largest message that is sent or taken, in bytes. Every Conn carries that much.
	messageSize = 256 << 10
	// messageRoom is left free in a message for its envelope, in bytes.
	messageRoom = 1 << 10
	// coalesce is the least time between two updates on one link: changes meanwhile are sent together.
	coalesce = 100 * time.Millisecond
	// resyncInterval is the least time between two snapshots that are requested, and between two that are sent, on one link.
	resyncInterval = 5 * time.Second
	// applyRate and applyBurst bound the updates per second from the replica of a peer that is in use, and from all its others
	// together: each may cost a copy of the service map.
	applyRate  = 20
	applyBurst = 20
	// messageRate and messageBurst bound the messages per second in the same way, and from each process of the own cluster; a
	// snapshot of the largest catalog is about as many messages as the burst.
	messageRate  = 100
	messageBurst = 256
)
