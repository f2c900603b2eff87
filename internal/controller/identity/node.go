package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"go.uber.org/zap"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// nodeCertificate keeps the certificate by which node agents prove to proxies what they are, and returns when it is renewed; zero: not
// by Eastway. A nil ca has issued nothing and cannot: then the certificate has to come from where that of the proxies does.
func (r *Reconciler) nodeCertificate(ctx context.Context, ca *certs.CA) (time.Time, error) {
	s, err := r.secret(ctx, r.cfg.NodeSecret)
	if err != nil {
		return time.Time{}, err
	}
	var svid *x509svid.SVID
	var bundle *x509bundle.Bundle
	problem := errors.New("there is none")
	if s != nil {
		svid, bundle, problem = certs.ParseNodeSVID(certs.SecretOf(s.Data))
		if s.Labels[managedByLabel] != v1alpha1.ManagedByName {
			r.warnOfNode(problem)
			return time.Time{}, nil
		}
	}
	if ca == nil {
		r.warnOfNode(errors.New("the CA is not Eastway's, or cannot be used"))
		return time.Time{}, nil
	}
	r.nodeProblem = ""
	if why := r.replaceable(s, ca, svid, bundle, problem); why != "" {
		if svid, err = ca.IssueNode(r.cfg.TTL); err != nil {
			return time.Time{}, fmt.Errorf("issue the node agents' certificate from the CA in Secret %s/%s: %w", r.cfg.Namespace, r.cfg.CASecret, err)
		}
		if err := r.write(ctx, r.cfg.NodeSecret, svid, ca.Bundle(), why); err != nil {
			return time.Time{}, err
		}
	}
	return renewal(svid), nil
}

// warnOfNode logs, once, why node agents may be without a certificate. That is no fault of the identity: there may be no agents.
func (r *Reconciler) warnOfNode(problem error) {
	text := ""
	if problem != nil {
		text = problem.Error()
	}
	if text == r.nodeProblem {
		return
	}
	r.nodeProblem = text
	if problem != nil {
		r.log.Warn("Eastway does not issue the node agents' certificate: where there are agents, make one where the proxies' is made, "+
			"or services cannot be taken over", zap.String("secret", r.cfg.Namespace+"/"+r.cfg.NodeSecret),
			zap.String("uri", "spiffe://TRUSTDOMAIN/eastway/node"), zap.Error(problem))
	}
}
