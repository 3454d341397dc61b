// Package importer writes a crier.yaml for an API that another file describes: a serverless.yml of the Serverless
// Framework (v1 to v4), a template of AWS SAM or CloudFormation, or what the AWS CDK synthesizes.
//
//	result, err := importer.Convert(importer.Source{Name: "template.yaml", Text: text, Read: read, …})
//	result.File     // crier.yaml
//	result.Report() // what a person should know
//
// It is text in, text out: other files are read through Source.Read only, and nothing is written.
//
// # How it goes
//
// A file becomes a tree, in which CloudFormation's short tags have their long names. Serverless variables are replaced
// in it, then intrinsic functions: what is left is text. A text keeps where it has holes, and why: these stay visible
// as ${…}, with a comment. From the trees of either kind of file comes the same model of an API (service), which is
// written as crier.yaml.
//
//	serverless.yml ─variables─▶ tree ─┐
//	                                  ├─intrinsics─▶ service ─▶ crier.yaml, report
//	template.yaml ────────────▶ tree ─┘
//
// # What it does not do
//
// It runs no code: not serverless.ts, no plugin, no macro, no build. It does not ask AWS: values that only AWS has stay holes.
package importer
