package check

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/eastway/eastway/certs"
)

const (
	// minKubernetes is the chart's kubeVersion.
	minKubernetes = "1.31.0"
	// clockTolerance is not worth a warning; beyond certs.ClockSkew certificates are refused.
	clockTolerance = 10 * time.Second
)

func (f *facts) apiServer(ctx context.Context) []Result {
	info, _, err := f.cluster.Version(ctx)
	if err != nil {
		return one(fail("%v", err).hint("see 'kubectl version': is the --context right, is the cluster up?"))
	}
	is, err := version.ParseGeneric(info.GitVersion)
	if err != nil {
		return one(warn("%s reports version %q", f.cluster.Server, info.GitVersion))
	}
	if is.LessThan(version.MustParseGeneric(minKubernetes)) {
		return one(fail("Kubernetes %s is older than %s", info.GitVersion, minKubernetes).hint("upgrade the cluster"))
	}
	return one(ok("Kubernetes %s answers (%s)", info.GitVersion, f.cluster))
}

func (f *facts) clock(ctx context.Context) []Result {
	_, answer, err := f.cluster.Version(ctx)
	switch {
	case err != nil:
		return one(unknown(err))
	case answer.Date.IsZero():
		return one(skip("the API server does not send its time"))
	}
	return one(ofClock("the API server's clock", answer.Ahead()))
}

// ofClock judges how far a clock is ahead of this machine's.
func ofClock(name string, ahead time.Duration) Result {
	way := "ahead of"
	if ahead < 0 {
		way, ahead = "behind", -ahead
	}
	ahead = ahead.Round(time.Second)
	switch {
	case ahead > certs.ClockSkew:
		return fail("%s is %s %s this machine's: certificates are refused beyond %s", name, ahead, way, certs.ClockSkew)
	case ahead > clockTolerance:
		return warn("%s is %s %s this machine's; up to %s are tolerated", name, ahead, way, certs.ClockSkew)
	default:
		return ok("%s agrees with this machine's", name)
	}
}

func (f *facts) eastwayKinds(ctx context.Context) []Result {
	return f.served(ctx, "eastway.dev", []string{"v1alpha1"}, "peers", "trafficpolicies", "externalservices")
}

func (f *facts) mcsKinds(ctx context.Context) []Result {
	results := f.served(ctx, "multicluster.x-k8s.io", []string{"v1beta1", "v1alpha1"}, "serviceexports", "serviceimports")
	served, err := f.cluster.Served(ctx, "multicluster.x-k8s.io")
	if err == nil && results[0].Level == OK && !slices.Contains(served["v1alpha1"], "serviceimports") {
		results = append(results, warn("serviceimports are not served as v1alpha1, which CoreDNS reads"))
	}
	return results
}

// served requires all the resources in one of the versions.
func (f *facts) served(ctx context.Context, group string, versions []string, resources ...string) []Result {
	served, err := f.cluster.Served(ctx, group)
	if err != nil {
		return one(unknown(err))
	}
	if len(served) == 0 {
		return one(fail("the API group %s is not there", group))
	}
	var missing []string
	for _, v := range versions {
		missing = nil
		for _, r := range resources {
			if !slices.Contains(served[v], r) {
				missing = append(missing, r)
			}
		}
		if len(missing) == 0 {
			return one(ok("%s/%s serves %s", group, v, and(resources)))
		}
	}
	return one(fail("%s/%s lacks %s", group, versions[0], and(missing)))
}
