package discovery

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/eastway/eastway/discovery/catalogpb"
	"github.com/eastway/eastway/internal/clip"
)

const (
	// maxAffinity is Kubernetes' longest sessionAffinityConfig.clientIP.timeoutSeconds.
	maxAffinity = 24 * time.Hour
	// maxCreated is the last second of the year 9999, beyond which times have no RFC 3339 form.
	maxCreated = 253402300799
	// maxFamilies: IPv4 and IPv6.
	maxFamilies = 2
)

// knownValue is the value if this release knows it, else Kubernetes' default: a newer peer may know more.
func knownValue(value string, known ...string) string {
	if slices.Contains(known, value) {
		return value
	}
	return ""
}

func decodeMetadata(at string, e *catalogpb.Export) (Metadata, error) {
	var m Metadata
	m.Spec = ServiceSpec{
		Headless:              e.GetHeadless(),
		SessionAffinity:       knownValue(e.GetSessionAffinity(), "ClientIP"),
		InternalTrafficPolicy: knownValue(e.GetInternalTrafficPolicy(), "Local"),
		TrafficDistribution:   knownValue(e.GetTrafficDistribution(), "PreferClose", "PreferSameZone", "PreferSameNode"),
	}
	if m.Spec.SessionAffinity != "" {
		m.Spec.SessionAffinityTimeout = min(time.Duration(e.GetSessionAffinitySeconds())*time.Second, maxAffinity)
	}
	for _, f := range e.GetIpFamilies() {
		if f = knownValue(f, "IPv4", "IPv6"); f != "" && len(m.Spec.IPFamilies) < maxFamilies && !slices.Contains(m.Spec.IPFamilies, f) {
			m.Spec.IPFamilies = append(m.Spec.IPFamilies, f)
		}
	}
	switch created := e.GetCreated(); {
	case created > maxCreated:
		return m, invalid(at+".created", "%d is after the year 9999", created)
	case created > 0:
		m.Export.Created = time.Unix(int64(created), 0)
	}
	m.Export.Labels, m.Export.Annotations = e.GetLabels(), e.GetAnnotations()
	if err := checkMap(at+".labels", m.Export.Labels, maxLabelBytes, validation.IsValidLabelValue); err != nil {
		return m, err
	}
	anything := func(string) []string { return nil }
	return m, checkMap(at+".annotations", m.Export.Annotations, maxAnnotationBytes, anything)
}

func checkMap(at string, values map[string]string, most int, valid func(string) []string) error {
	if len(values) > maxMapEntries {
		return invalid(at, "%d entries, at most %d", len(values), maxMapEntries)
	}
	total := 0
	for k, v := range values {
		if total += len(k) + len(v); total > most {
			return invalid(at, "more than %d bytes", most)
		}
		if err := checkString(at, k, validation.IsQualifiedName); err != nil {
			return err
		}
		if msgs := valid(v); len(msgs) > 0 {
			return invalid(at, "%q: %s", clip.Name(v), msgs[0])
		}
	}
	return nil
}

func decodePods(at string, list []*catalogpb.Readiness_Pod) ([]Pod, error) {
	if len(list) > maxPods {
		return nil, invalid(at, "%d pods, at most %d", len(list), maxPods)
	}
	pods := make([]Pod, 0, len(list))
	for i, p := range list {
		at := fmt.Sprintf("%s[%d]", at, i)
		d := Pod{Hostname: p.GetHostname(), Locality: Locality{Region: p.GetRegion(), Zone: p.GetZone()}, Ready: p.GetReady()}
		for field, text := range map[string]struct {
			value string
			valid func(string) []string
		}{
			"hostname": {d.Hostname, validation.IsDNS1123Label},
			"region":   {d.Locality.Region, validation.IsValidLabelValue},
			"zone":     {d.Locality.Zone, validation.IsValidLabelValue},
		} {
			if err := checkString(at+"."+field, text.value, text.valid); err != nil {
				return nil, err
			}
		}
		if i > 0 && d.Hostname <= pods[i-1].Hostname {
			return nil, invalid(at+".hostname", "%q does not come after %q", d.Hostname, pods[i-1].Hostname)
		}
		pods = append(pods, d)
	}
	if len(pods) == 0 {
		return nil, nil
	}
	return pods, nil
}
