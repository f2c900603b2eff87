// Package autoscale tests on a real cluster that the proxies become more under
// load and fewer after it: the HorizontalPodAutoscaler of charts/eastway, with
// metrics-server and nothing simulated, while calls and streams go through the
// proxies and none of them may fail. `make e2e` runs it; root is needed.
package autoscale
