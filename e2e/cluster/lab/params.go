package lab

import "time"

// How long things may take. All is a few times what it takes on two busy cores.
const (
	// upTime for a whole lab with its programs built.
	upTime = 5 * time.Minute
	// daemonTime for a daemon to answer after it was started.
	daemonTime = 2 * time.Minute
	// nodeTime for a node to be ready after its kubelet was started.
	nodeTime = 2 * time.Minute
	// kubeProxyTime for kube-proxy to know its node's zone after it was started.
	kubeProxyTime = 15 * time.Second
	// podTime for the cluster's own pods (CoreDNS) to be ready.
	podTime = 2 * time.Minute
	// downTime for a lab to be gone.
	downTime = time.Minute
	// stopTime for a daemon to end after SIGTERM.
	stopTime = 30 * time.Second
	// pollTime is the time between two looks at what sends no event.
	pollTime = 100 * time.Millisecond
	// callTime for one question to an API server while waiting for it.
	callTime = 5 * time.Second
)

const (
	apiPort = 6443 // of the API server, as everywhere
	// mtu of all devices in bytes: the internet's.
	mtu = 1500

	// Base is the folder of all labs of this computer.
	Base = "/var/lib/eastway-lab"
	// DefaultName of a lab.
	DefaultName = "lab"
	// hostDevice begins the name of the one device of a lab in the computer's own
	// network namespace; the lab's number follows.
	hostDevice = "eastlab"

	// inotifyInstances that root may have: about 50 for a lab of four nodes, and
	// several labs; the kernel's 128 are gone with the third.
	inotifyInstances = 1024

	maxClusters = 6 // a lab has 16 networks; more clusters than this do not fit a computer anyway
	maxNodes    = 8 // of one cluster
	maxLabs     = 16
)
