package peering

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

const (
	// Kind of a Peer manifest.
	Kind = "Peer"
	// MaxManifest bounds a file that is looked at for Peers, in bytes: the largest bundle,
	// and room for the escapes that YAML may need.
	MaxManifest = 2*v1alpha1.MaxTrustBundle + 64<<10
	// maxShown bounds words of somebody else's file in an error, in bytes.
	maxShown = 200
)

// Manifest is a Peer manifest whose every field was checked.
type Manifest struct {
	// Peer has a name, perhaps labels and annotations, and a spec; nothing that a cluster made of it.
	Peer *v1alpha1.Peer
	// Identity is what the spec says.
	Identity certs.Peer
}

// Parse takes exactly one Peer and nothing that it does not know.
func Parse(data []byte) (Manifest, error) {
	docs := Split(data)
	if len(docs) != 1 {
		return Manifest{}, fmt.Errorf("it holds %d documents, expected one Peer", len(docs))
	}
	object, err := toJSON(docs[0])
	if err != nil {
		return Manifest{}, err
	}
	var peer v1alpha1.Peer
	unknown, err := kjson.UnmarshalStrict(object, &peer, kjson.DisallowUnknownFields)
	if err != nil {
		return Manifest{}, fmt.Errorf("not a Peer manifest: %s", plain(object, err))
	}
	if len(unknown) > 0 {
		return Manifest{}, fmt.Errorf("not a Peer manifest: %w", unknown[0])
	}
	return New(&peer)
}

// New checks a Peer and leaves out what a cluster made of it: status, resource version and the like.
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

// toJSON makes JSON of a document that says it is a Peer.
func toJSON(doc []byte) ([]byte, error) {
	data, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return nil, fmt.Errorf("not a Peer manifest: not YAML: %s", shown(oneLine(strings.TrimPrefix(err.Error(), "yaml: "))))
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil || fields == nil {
		return nil, fmt.Errorf("not a Peer manifest: it holds no fields such as kind and metadata, but %q", shown(string(data)))
	}
	var version, kind string
	word := func(name string, into *string) {
		if json.Unmarshal(fields[name], into) != nil {
			*into = string(fields[name]) // something else than a string: show it as it is
		}
	}
	word("apiVersion", &version)
	word("kind", &kind)
	if version == "" && kind == "" {
		return nil, errors.New("not a Peer manifest: it has neither apiVersion nor kind: take what `eastway peer export` prints")
	}
	if version != v1alpha1.GroupVersion || kind != Kind {
		return nil, fmt.Errorf("it is a %.60q of %.60q, expected a Peer of %s: take what `eastway peer export` prints",
			kind, version, v1alpha1.GroupVersion)
	}
	return data, nil
}

// plain words for what the decoder says of Go's types: the standard library's names the field.
func plain(object []byte, err error) string {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](json.Unmarshal(object, new(v1alpha1.Peer)))
	if !ok {
		return shown(err.Error())
	}
	return fmt.Sprintf("%s: %s %s does not belong there", wrong.Field, article(wrong.Value), wrong.Value)
}

func article(word string) string {
	if strings.ContainsAny(word[:min(1, len(word))], "aeiou") {
		return "an"
	}
	return "a"
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func shown(s string) string {
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return s
}
