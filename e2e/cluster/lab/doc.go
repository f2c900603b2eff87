// Package lab runs real Kubernetes clusters on one Linux computer, for tests
// and for people: kube-apiserver, etcd, kubelet, containerd, kube-proxy and
// CoreDNS, each node a machine of namespaces (package machine). No container
// image is fetched from anywhere, and root is needed.
//
//	l, err := lab.Up(ctx, lab.Config{Name: "mytest", Progress: os.Stderr})
//	…
//	defer l.Down(ctx)
//	config, err := l.Clusters[0].RESTConfig()
//
// Each cluster is a site of its own:
//
//	        this computer  BACKBONE.1
//	              │
//	──────────────┴── the internet, a bridge: BACKBONE.0/24 ──────────────
//	    │ .11                                        │ .12
//	  site of cluster-1, SITE.1                    site of cluster-2
//	    │ SITE.0/24                                  …
//	    ├── control  SITE.2   etcd, API server, controller manager, scheduler
//	    ├── node 1   SITE.11  containerd, kubelet, kube-proxy   zone …a
//	    └── node 2   SITE.12                                    zone …b
//
// Nodes of all clusters and this computer reach each other's addresses. Pods
// leave their node behind its address, and all clusters have the same pod and
// service networks, so nothing can be routed between the pods of two clusters.
// Addresses of Services of type LoadBalancer are at the site (SITE.128–254).
// A cluster with IPv6 has the same numbers there: fd00:198:18:SITE::11 is its first node.
//
// All of a lab is in one folder, /var/lib/eastway-lab/NAME, and in the processes
// that are found by it; nothing else on the computer is changed but one network
// device and the routes behind it. Down removes it all, also when what started
// it, or any part of it, was killed. What stays is a higher limit of inotify
// instances (fs.inotify.max_user_instances), which Kubernetes uses many of.
package lab
