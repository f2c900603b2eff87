package peers

import (
	"errors"
	"fmt"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/clip"
)

// verdict on one manifest.
type verdict struct {
	reason  string // v1alpha1.ReasonAccepted, or why not
	message string
}

func (v verdict) accepted() bool { return v.reason == v1alpha1.ReasonAccepted }

// judge checks a manifest; ownID is this cluster's SPIFFE ID, "" while it has none.
func judge(own, ownID string, p *v1alpha1.Peer) verdict {
	switch {
	case p.Name == own:
		return verdict{v1alpha1.ReasonOwnName, fmt.Sprintf("metadata.name: %q is the name of this cluster: a Peer is another one. "+
			"If two clusters have this name, reinstall one of them under another (--cluster).", p.Name)}
	case ownID != "" && p.Spec.SPIFFEID == ownID:
		return verdict{v1alpha1.ReasonOwnName, "spec.spiffeID: this is the ID of this cluster: " +
			"import the manifest that `eastway peer export` prints in the other one."}
	}
	if errs := v1alpha1.ValidatePeer(p); len(errs) > 0 {
		return verdict{v1alpha1.ReasonInvalid, sentence(errs.ToAggregate().Error())}
	}
	if _, err := certs.ParsePeer(p.Name, p.Spec.SPIFFEID, p.Spec.TrustBundle); err != nil {
		if wrong, ok := errors.AsType[*certs.FieldError](err); ok {
			return verdict{v1alpha1.ReasonInvalid, sentence(wrong.Error())}
		}
		return verdict{v1alpha1.ReasonInvalid, sentence(err.Error())}
	}
	return verdict{v1alpha1.ReasonAccepted, "The manifest is valid and in use."}
}

// maxMessage bounds the text of a condition, in bytes.
const maxMessage = 1024

func sentence(s string) string {
	return clip.Text(s, maxMessage) + ": import it again, as `eastway peer export` prints it there."
}

// accepted are the trusted peers: of an invalid manifest, the last valid version that this process has seen.
func accepted(list []v1alpha1.Peer, verdicts map[string]verdict, before map[string]*discovery.Peer) map[string]*discovery.Peer {
	out := make(map[string]*discovery.Peer, len(list))
	for i := range list {
		name := list[i].Name
		if verdicts[name].accepted() {
			out[name] = &discovery.Peer{Name: name, Spec: list[i].Spec}
		} else if last := before[name]; last != nil && verdicts[name].reason != v1alpha1.ReasonOwnName {
			out[name] = last
		}
	}
	return out
}
