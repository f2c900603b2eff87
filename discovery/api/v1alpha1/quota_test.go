package v1alpha1

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestQuota(t *testing.T) {
	t.Parallel()
	defaults := ImportQuota{Services: DefaultQuotaServices, Ports: DefaultQuotaPorts, Pods: DefaultQuotaPods}
	with := func(change func(*ImportQuota)) ImportQuota {
		q := defaults
		change(&q)
		return q
	}
	for quota, want := range map[string]struct {
		quota ImportQuota
		err   string
	}{
		"":                                 {defaults, ""},
		"  quota: {}":                      {defaults, ""},
		"  quota: {services: 20000}":       {with(func(q *ImportQuota) { q.Services = 20000 }), ""},
		"  quota: {ports: 1}":              {with(func(q *ImportQuota) { q.Ports = 1 }), ""},
		"  quota: {pods: 1000000}":         {with(func(q *ImportQuota) { q.Pods = 1_000_000 }), ""},
		"  quota: {services: -1}":          {err: "spec.quota.services: Invalid value: -1: must be between 1 and 1000000"},
		"  quota: {ports: 1000001}":        {err: "spec.quota.ports"},
		"  quota: {pods: 9, services: -1}": {err: "spec.quota.services"},
	} {
		var p Peer
		if err := yaml.UnmarshalStrict([]byte(peerYAML+quota+"\n"), &p); err != nil {
			t.Fatal(err)
		}
		errs := ValidatePeer(&p)
		switch {
		case want.err != "":
			if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), want.err) {
				t.Errorf("%s: %v, want %s", quota, errs, want.err)
			}
		case len(errs) > 0 || p.Spec.Quota.WithDefaults() != want.quota:
			t.Errorf("%s: %v, %+v", quota, errs, p.Spec.Quota.WithDefaults())
		}
	}
}
