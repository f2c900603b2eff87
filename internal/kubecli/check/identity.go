package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/internal/kubecli"
)

const (
	// rootWarning is how long before its end a root should have been replaced.
	rootWarning = 60 * 24 * time.Hour
	// svidWarning is when a certificate of a day, which is renewed at half of that, is late.
	svidWarning = 4 * time.Hour

	svidExpiry = "eastway_certs_svid_expiry_timestamp_seconds"
)

func (f *facts) ownManifest(ctx context.Context) []Result {
	own, err := f.getOwn(ctx)
	if err != nil {
		return one(unknown(err).hint("kubectl -n %s logs -l app.kubernetes.io/component=controller", f.cluster.Namespace))
	}
	results := one(ok("this is cluster %s, %s", own.Peer.Name, own.Identity.ID))
	if len(own.Peer.Spec.Addresses) == 0 {
		results = append(results, warn("it has no public address: it dials its peers, and cannot be dialed").
			hint("if peers must dial it: has the tunnel Service an address (kubectl -n %s get service)? else tunnel.publicAddresses of the chart",
				f.cluster.Namespace))
	} else {
		results = append(results, ok("peers dial it at %s", and(own.Peer.Spec.Addresses)))
	}
	for _, root := range own.Identity.Bundle.X509Authorities() {
		switch rest := time.Until(root.NotAfter); {
		case rest <= 0:
			results = append(results, fail("its root %s expired %s ago", root.Subject, left(-rest)))
		case rest < rootWarning:
			results = append(results, warn("its root %s expires in %s", root.Subject, left(rest)))
		default:
			results = append(results, ok("its root %s is valid for %s", root.Subject, left(rest)))
		}
	}
	return results
}

// certificates reads from each proxy's metrics how long its certificate is valid, and compares its clock.
func (f *facts) certificates(ctx context.Context) []Result {
	ready, err := f.ready(ctx)
	if err != nil {
		return one(unknown(err))
	}
	if len(ready) == 0 {
		return one(skip("no proxy is ready"))
	}
	var results []Result
	shortest := time.Duration(0)
	good := 0
	for i := range ready {
		pod := &ready[i]
		rest, ahead, err := f.svid(ctx, pod)
		if errors.Is(err, kubecli.ErrForbidden) {
			return one(unknown(err))
		}
		if err != nil {
			results = append(results, unknown(err))
			continue
		}
		if clock := ofClock("the clock of proxy "+pod.Name, ahead); clock.Level != OK {
			results = append(results, clock.hint("let its node follow a time server (NTP)"))
		}
		renew := fmt.Sprintf("the controller renews it: kubectl -n %s logs -l app.kubernetes.io/component=controller", f.cluster.Namespace)
		switch {
		case rest <= 0:
			results = append(results, fail("the certificate of proxy %s expired %s ago", pod.Name, left(-rest)).hint("%s", renew))
		case rest < svidWarning:
			results = append(results, warn("the certificate of proxy %s expires in %s and was not renewed", pod.Name, left(rest)).hint("%s", renew))
		default:
			if good++; good == 1 || rest < shortest {
				shortest = rest
			}
		}
	}
	if good > 0 {
		results = append(one(ok("certificates of %s valid for %s at least", count(good, "proxy", "proxies"), left(shortest))), results...)
	}
	return results
}

// svid is how long the pod's certificate is valid, and how far its clock is ahead of ours.
func (f *facts) svid(ctx context.Context, pod *corev1.Pod) (rest, ahead time.Duration, err error) {
	answer, err := f.cluster.GetPod(ctx, pod, kubecli.HealthPortOf(pod, kubecli.HealthPort), "/metrics")
	if err != nil {
		return 0, 0, err
	}
	if answer.Code != http.StatusOK {
		return 0, 0, fmt.Errorf("/metrics of proxy %s answered %d", pod.Name, answer.Code)
	}
	expiry, found := gauge(answer.Body, svidExpiry)
	if !found || expiry <= 0 {
		return 0, 0, fmt.Errorf("the metrics of proxy %s do not include when its certificate expires", pod.Name)
	}
	return time.Until(time.Unix(int64(expiry), 0)), answer.Ahead(), nil
}

// gauge is the value of a metric with one series, in Prometheus' text format. The only label is that of the cluster.
func gauge(metrics []byte, name string) (float64, bool) {
	for line := range bytes.Lines(metrics) {
		series, value, found := bytes.Cut(line, []byte(" "))
		if of, _, _ := bytes.Cut(series, []byte("{")); found && string(of) == name {
			n, err := strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
			return n, err == nil
		}
	}
	return 0, false
}
