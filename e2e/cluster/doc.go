// Command cluster starts and stops real Kubernetes clusters on this computer
// (see package lab). Linux, as root:
//
//	go run ./e2e/cluster up        two clusters of two nodes; prints their KUBECONFIGs
//	go run ./e2e/cluster status    what runs, with addresses and logs
//	go run ./e2e/cluster load FILE give an image (docker or OCI archive) to all nodes
//	go run ./e2e/cluster enter cluster-1-node-1 ip address   run something in a machine's network
//	go run ./e2e/cluster down      removes everything, also after a crash
//
// The first start builds Kubernetes, which takes 7 to 9 minutes on two cores.
package main
