module crier

go 1.26
