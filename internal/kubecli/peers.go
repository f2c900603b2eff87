package kubecli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/peering"
)

// FieldManager is under which name the commands own what they apply.
const FieldManager = "eastway-cli"

// ImportOptions of Import.
type ImportOptions struct {
	// Own is this cluster's name, where its controller has not published it yet; "": it is read from the cluster.
	Own string
	// Force takes over fields of another field manager, such as a GitOps controller.
	Force bool
	// DryRun has the API server check everything and keep nothing.
	DryRun bool
}

// Imported is what Import did.
type Imported struct {
	// Added: there was no such Peer. Else Changes are the differences, none if nothing changed.
	Added   bool
	Changes []string
	// Unchecked is why the manifest could not be compared with this cluster's own; "" if it was.
	Unchecked string
}

// Peers of the cluster, by name.
func (c *Cluster) Peers(ctx context.Context) ([]v1alpha1.Peer, error) {
	var list v1alpha1.PeerList
	if err := c.client.List(ctx, &list); err != nil {
		return nil, c.explain("list Peers", err)
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.Peer) int { return cmp.Compare(a.Name, b.Name) })
	return list.Items, nil
}

// Peer of that name; nil if there is none.
func (c *Cluster) Peer(ctx context.Context, name string) (*v1alpha1.Peer, error) {
	var peer v1alpha1.Peer
	err := c.client.Get(ctx, client.ObjectKey{Name: name}, &peer)
	if notFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, c.explain("read Peer "+name, err)
	}
	return &peer, nil
}

// Import applies the Peer, or returns why it must not be one here.
func (c *Cluster) Import(ctx context.Context, m peering.Manifest, o ImportOptions) (Imported, error) {
	var out Imported
	if err := c.refuseOwn(ctx, m, o.Own, &out); err != nil {
		return out, err
	}
	old, err := c.Peer(ctx, m.Peer.Name)
	if err != nil {
		return out, err
	}
	if err := m.Taken(old, c.String()); err != nil {
		return out, err
	}
	out.Added = old == nil
	if old != nil {
		if out.Changes = m.Changes(old); len(out.Changes) == 0 {
			return out, nil
		}
	}
	return out, c.applyPeer(ctx, m, o)
}

// refuseOwn refuses the manifest of this cluster, and one that claims its name.
func (c *Cluster) refuseOwn(ctx context.Context, m peering.Manifest, name string, out *Imported) error {
	id := ""
	if name == "" {
		own, err := c.Own(ctx)
		switch {
		case errors.Is(err, ErrUnreachable), errors.Is(err, context.Canceled):
			return err
		case err != nil:
			out.Unchecked = err.Error()
			return nil //nolint:nilerr // it is reported, and no reason to refuse
		}
		name, id = own.Peer.Name, own.Peer.Spec.SPIFFEID
	}
	if m.Peer.Name != name {
		return nil
	}
	if id != "" && m.Peer.Spec.SPIFFEID != id {
		return fmt.Errorf("%q is this cluster's own name: it is %s, the manifest's is %s. Two clusters of one name cannot be peers: "+
			"reinstall one of them under another name", name, id, m.Peer.Spec.SPIFFEID)
	}
	return fmt.Errorf("%q is this cluster itself: a Peer is another cluster, import what it exports", name)
}

func (c *Cluster) applyPeer(ctx context.Context, m peering.Manifest, o ImportOptions) error {
	spec, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&m.Peer.Spec)
	if err != nil {
		return fmt.Errorf("apply Peer %s: %w", m.Peer.Name, err)
	}
	object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	object.SetAPIVersion(v1alpha1.GroupVersion)
	object.SetKind(peering.Kind)
	object.SetName(m.Peer.Name)
	if len(m.Peer.Labels) > 0 {
		object.SetLabels(m.Peer.Labels)
	}
	if len(m.Peer.Annotations) > 0 {
		object.SetAnnotations(m.Peer.Annotations)
	}
	options := []client.ApplyOption{client.FieldOwner(FieldManager)}
	if o.Force {
		options = append(options, client.ForceOwnership)
	}
	if o.DryRun {
		options = append(options, client.DryRunAll)
	}
	err = c.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), options...)
	if apierrors.IsConflict(err) {
		return fmt.Errorf("apply Peer %s: another field manager owns it: change it there, or take it over with --force: %s",
			m.Peer.Name, oneLine(err.Error()))
	}
	return c.explain("apply Peer "+m.Peer.Name, err)
}

// Removed is what no longer works after RemovePeer.
type Removed struct {
	// Addresses, where this cluster dialed it.
	Addresses []string
	// Lost are services, NAMESPACE/NAME, that only this peer exported; Reduced are those that others export too.
	Lost, Reduced []string
	// Unknown is why the services could not be determined; "" if they could.
	Unknown string
}

// RemovePeer deletes the Peer.
func (c *Cluster) RemovePeer(ctx context.Context, name string) (Removed, error) {
	var out Removed
	peer, err := c.Peer(ctx, name)
	switch {
	case err != nil:
		return out, err
	case peer == nil:
		return out, fmt.Errorf("remove Peer %s: %w in %s", name, ErrNotFound, c)
	}
	out.Addresses = peer.Spec.Addresses
	imports, err := c.Imports(ctx)
	if err != nil {
		out.Unknown = err.Error()
	}
	for _, i := range imports {
		switch {
		case !slices.Contains(i.Clusters, name):
		case len(i.Clusters) == 1:
			out.Lost = append(out.Lost, i.Name)
		default:
			out.Reduced = append(out.Reduced, i.Name)
		}
	}
	// Only the Peer that was read: another one of that name is new.
	err = c.client.Delete(ctx, peer, client.Preconditions{UID: &peer.UID})
	return out, c.explain("remove Peer "+name, err)
}

// PeerNames are those of Peers.
func (c *Cluster) PeerNames(ctx context.Context) ([]string, error) {
	peers, err := c.Peers(ctx)
	names := make([]string, 0, len(peers))
	for i := range peers {
		names = append(names, peers[i].Name)
	}
	return names, err
}
