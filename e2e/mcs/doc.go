// Package mcs is only tests: the checks of the public conformance suite of the
// Multi-Cluster Services API (kubernetes-sigs/mcs-api, conformance/), and what
// else KEP-1645 asks for, on two real clusters with Eastway between them. Each
// check is a subtest; docs/mcs-conformance.md lists them all.
//
// With E2E_KUBECONFIGS=A,B the checks run on two existing clusters,
// without those that break something; E2E_IMAGES=loaded says that their nodes
// have the images, whose archives are named when it is not set. What is
// installed is removed again, but for the CRDs.
//
// With E2E_KEEP=NAME the clusters stay up under that name, and the next run
// uses them and the Eastway that is installed there: for work on a test.
package mcs
