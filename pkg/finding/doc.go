// Package finding is the vocabulary in which virt-pki speaks about someone's PKI: rules, findings and outcomes.
//
// A [Rule] is one thing libvirt, QEMU or good sense demands, described once as data. A [Finding] is one case of it: a
// subject, one sentence, a remedy that can be typed. An [Outcome] is the one word for what a connection attempt comes
// to. Packages that judge export their rules with a function Rules() []Rule; a [Catalogue] gathers them.
//
// A finding is not an error: an error says that virt-pki could not do its job, a finding that the job was done and
// this is what is wrong with the PKI. The package prints nothing.
package finding
