// Package paths holds tests of the paths that packets take only on kernels with
// VRF, IPVS and flowtables, which the host need not have. They run in the virtual
// machines of package kernels, with the real ssmonitor as a process, in network
// namespaces joined by veth devices. What the client's kernel counts is the truth.
//
// On the host, the tests compile, so that vet and the linters see them, but none
// runs: TestMain ends unless SSMONITOR_TEST_IN_VM is set, which package kernels
// does. They are no skipped tests there, and no virtual machine accepts a skip.
package paths
