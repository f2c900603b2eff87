package peering

import (
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/manifest"
)

const (
	// Kind of a Peer manifest.
	Kind = "Peer"
	// MaxManifest bounds a file that is looked at for Peers, in bytes: the largest bundle,
	// and room for the escapes that YAML may need.
	MaxManifest = 2*v1alpha1.MaxTrustBundle + 64<<10
	// maxShown is how much of the manifest's own text an error repeats, in bytes.
	maxShown = 200
)

// Manifest is a Peer manifest whose every field was checked.
type Manifest struct {
	// Peer has a name, perhaps labels and annotations, and a spec; but no status or other fields that a cluster sets.
	Peer *v1alpha1.Peer
	// Identity is the parsed spec.
	Identity certs.Peer
}

// Parse takes exactly one Peer, and refuses fields that a Peer does not have.
func Parse(data []byte) (Manifest, error) {
	objects := manifest.Read("", data)
	if len(objects) != 1 {
		return Manifest{}, fmt.Errorf("it holds %d objects, expected one Peer", len(objects))
	}
	peer, err := decode(objects[0])
	if err != nil {
		return Manifest{}, err
	}
	for name, set := range map[string]bool{
		"exports": peer.Spec.Exports != nil, "imports": peer.Spec.Imports != nil, "denied": peer.Spec.Denied != nil,
		"quota": peer.Spec.Quota != nil,
	} {
		if set {
			return Manifest{}, fmt.Errorf("spec.%s: the cluster that imports the Peer decides that, not its manifest: "+
				"remove the field, and set it on the Peer after the import", name)
		}
	}
	return New(peer)
}

// Keep takes over what this cluster has decided about the Peer that was imported before.
func (m Manifest) Keep(old *v1alpha1.Peer) Manifest {
	m.Peer = m.Peer.DeepCopy()
	m.Peer.Spec.Exports, m.Peer.Spec.Imports, m.Peer.Spec.Denied = old.Spec.Exports, old.Spec.Imports, old.Spec.Denied
	m.Peer.Spec.Quota = old.Spec.Quota
	if len(m.Peer.Spec.Localities) == 0 { // it leaves that to this cluster
		m.Peer.Spec.Localities = old.Spec.Localities
	}
	return m
}

func decode(o *manifest.Object) (*v1alpha1.Peer, error) {
	if err := o.Err; err != nil {
		return nil, describe(err)
	}
	switch id := o.ID.TypeMeta; {
	case id == metav1.TypeMeta{}:
		return nil, errors.New("not a Peer manifest: it has neither apiVersion nor kind: take what `eastway peer export` prints")
	case id.APIVersion != v1alpha1.GroupVersion || id.Kind != Kind:
		return nil, fmt.Errorf("it is a %.60q of %.60q, expected a Peer of %s: take what `eastway peer export` prints",
			id.Kind, id.APIVersion, v1alpha1.GroupVersion)
	}
	var peer v1alpha1.Peer
	if errs := o.Decode(&peer); len(errs) > 0 {
		return nil, describe(errs[0])
	}
	return &peer, nil
}

// describe adds line and field to an error of the manifest's text.
func describe(err error) error {
	place := ""
	if at, ok := errors.AsType[*manifest.Error](err); ok {
		place = fmt.Sprintf("line %d: ", at.Line)
		if at.Field != "" {
			place += shown(at.Field) + ": "
		}
	}
	return fmt.Errorf("not a Peer manifest: %s%s", place, shown(err.Error()))
}

// New checks a Peer and drops the fields that a cluster sets: status, resource version and the like.
func New(from *v1alpha1.Peer) (Manifest, error) {
	peer := &v1alpha1.Peer{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion, Kind: Kind},
		ObjectMeta: metav1.ObjectMeta{Name: from.Name, Labels: from.Labels, Annotations: from.Annotations},
		Spec:       from.Spec,
	}
	if err := v1alpha1.ValidatePeer(peer).ToAggregate(); err != nil {
		return Manifest{}, err
	}
	identity, err := certs.ParsePeer(peer.Name, peer.Spec.SPIFFEID, peer.Spec.TrustBundle)
	if err != nil {
		return Manifest{}, err
	}
	return Manifest{Peer: peer, Identity: identity}, nil
}

// YAML is what Parse reads.
func (m Manifest) YAML() ([]byte, error) {
	data, err := yaml.Marshal(m.Peer)
	if err != nil {
		return nil, fmt.Errorf("write Peer: %w", err)
	}
	return data, nil
}

func shown(s string) string {
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return s
}
