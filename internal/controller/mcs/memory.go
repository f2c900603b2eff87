package mcs

import (
	"encoding/json"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
)

// memoryAnnotation on a peer's EndpointSlice is what the peer exported, for the time from a controller's start until the peer
// has connected again.
const memoryAnnotation = "eastway.dev/export"

// maxMemory bounds the annotation, in bytes; what is larger is remembered without labels and annotations.
const maxMemory = 64 << 10

// memory is a PeerExport without what changes all the time.
type memory struct {
	Ports  []discovery.ServicePort `json:"ports,omitempty"`
	Spec   discovery.ServiceSpec   `json:"spec"`
	Export discovery.Export        `json:"export"`
}

func remember(e *discovery.PeerExport) (string, error) {
	m := memory{e.Ports, e.Spec, e.Export}
	data, err := json.Marshal(m)
	if err == nil && len(data) > maxMemory {
		m.Export.Labels, m.Export.Annotations = nil, nil
		data, err = json.Marshal(m)
	}
	return string(data), err
}

// valid is false for what an API server would refuse: every client with the right to edit the slices can edit the annotation.
func (m *memory) valid() bool {
	if len(m.Ports) > maxImportPorts || m.Export.Created.Year() > 9999 {
		return false
	}
	for _, p := range m.Ports {
		protocol := p.Protocol == discovery.TCP || p.Protocol == discovery.UDP || p.Protocol == discovery.SCTP
		if p.Port == 0 || !protocol || p.Name != "" && len(validation.IsDNS1123Label(p.Name)) > 0 ||
			p.AppProtocol != "" && len(validation.IsQualifiedName(p.AppProtocol)) > 0 {
			return false
		}
	}
	s := &m.Spec
	return slices.Contains([]string{"", string(corev1.ServiceAffinityClientIP)}, s.SessionAffinity) &&
		slices.Contains([]string{"", string(corev1.ServiceInternalTrafficPolicyLocal)}, s.InternalTrafficPolicy) &&
		s.SessionAffinityTimeout >= 0 && s.SessionAffinityTimeout <= maxAffinity
}

// recall is what a peer exported, according to its slices; its pods and their readiness are those of the slices.
func recall(peer string, slicesOf []*discoveryv1.EndpointSlice) (discovery.PeerExport, bool) {
	e := discovery.PeerExport{Peer: peer}
	found := false
	for _, s := range slicesOf {
		var m memory
		if s.Labels[mcsv1beta1.LabelSourceCluster] != peer || json.Unmarshal([]byte(s.Annotations[memoryAnnotation]), &m) != nil || !m.valid() {
			continue
		}
		found = true
		e.Ports, e.Spec, e.Export = m.Ports, m.Spec, m.Export
		e.Export.Created = e.Export.Created.Truncate(time.Second)
		for _, end := range s.Endpoints {
			ready := end.Conditions.Ready == nil || *end.Conditions.Ready
			if end.Hostname != nil {
				e.Pods = append(e.Pods, discovery.Pod{Hostname: *end.Hostname, Ready: ready})
			} else if ready {
				e.Readiness = append(e.Readiness, discovery.Readiness{Ready: 1, Total: 1})
			}
		}
	}
	slices.SortFunc(e.Pods, func(a, b discovery.Pod) int { return compareText(a.Hostname, b.Hostname) })
	e.Pods = slices.CompactFunc(e.Pods, func(a, b discovery.Pod) bool { return a.Hostname == b.Hostname }) // both families
	return e, found
}
