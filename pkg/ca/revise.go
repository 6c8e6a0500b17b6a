package ca

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/virt-pki/virt-pki/pkg/internal/durable"
)

// Revised gives the same authority with another policy, in memory: what it would issue can be prepared and issued, and goes
// into the same inventory. What the policy leaves zero stays as it is. The caller closes the original only.
func (a *Authority) Revised(policy Policy) *Authority {
	b := *a
	if len(policy.Libvirt) == 0 {
		policy.Libvirt = a.policy.Libvirt
	}
	if policy.Key == "" {
		policy.Key = a.policy.Key
	}
	if policy.Lifetime == 0 {
		policy.Lifetime = a.policy.Lifetime
	}
	policy.Libvirt = slices.Clone(policy.Libvirt)
	b.policy = policy
	b.owned = nil
	b.profiles = profilesOf(policy)
	b.lint = &rehearsal{ca: a.cert, algorithm: a.algorithm}
	return &b
}

// KeepPolicy writes the authority's policy, as Revised has given it, into its directory, in the place of the one there.
func (a *Authority) KeepPolicy(ctx context.Context) error {
	text, err := a.policy.marshal()
	if err != nil {
		return fmt.Errorf("keeping the policy: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(a.dir, policyName), text, 0o644, true); err != nil {
		return fmt.Errorf("keeping the policy: %w", err)
	}
	return nil
}
