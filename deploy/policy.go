package deploy

import (
	"encoding/json"
	"fmt"
	"strings"
)

type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string]string `json:",omitempty"`
}

// Policy is an IAM policy, in JSON, for somebody who deploys, updates, looks at and removes the stack of this name, and
// nothing else. An empty region means every Region.
//
// CloudFormation makes the resources with the caller's permissions. What it needs for which is in the schemas of its
// resource types, under handlers; what concerns features that the template does not use is left out.
func Policy(name, region string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	partition := partitionOf(region)
	if region == "" {
		region = "*"
	}
	arn := func(service, where, resource string) string {
		return fmt.Sprintf("arn:%s:%s:%s:%s", partition, service, where, resource)
	}
	local := region + ":*"
	text, err := json.MarshalIndent(policy{"2012-10-17", []statement{
		allow("Stack", []string{arn("cloudformation", local, "stack/"+name+"/*")},
			"cloudformation:CreateChangeSet", "cloudformation:DescribeChangeSet", "cloudformation:ExecuteChangeSet",
			"cloudformation:DeleteChangeSet", "cloudformation:ListChangeSets", "cloudformation:DescribeStacks",
			"cloudformation:DescribeStackEvents", "cloudformation:DescribeEvents", "cloudformation:DeleteStack"),
		allow("Code", []string{arn("s3", ":", "crier-*"), arn("s3", ":", "crier-*/code/"+name+"/*")},
			"s3:CreateBucket", "s3:ListBucket", "s3:DeleteBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
		allow("Table", []string{arn("dynamodb", local, "table/"+name)},
			"dynamodb:CreateTable", "dynamodb:DescribeTable", "dynamodb:UpdateTable", "dynamodb:DeleteTable",
			"dynamodb:DescribeTimeToLive", "dynamodb:UpdateTimeToLive", "dynamodb:DescribeContinuousBackups",
			"dynamodb:DescribeContributorInsights", "dynamodb:DescribeKinesisStreamingDestination",
			"dynamodb:GetResourcePolicy", "dynamodb:ListTagsOfResource", "dynamodb:TagResource", "dynamodb:UntagResource"),
		allow("Logs", []string{arn("logs", local, "log-group:/aws/lambda/"+name), arn("logs", local, "log-group:/aws/lambda/"+name+":*")},
			"logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:PutRetentionPolicy", "logs:DeleteRetentionPolicy",
			"logs:ListTagsForResource", "logs:TagResource", "logs:UntagResource", "logs:GetDataProtectionPolicy", "logs:FilterLogEvents"),
		allow("LogGroups", []string{"*"}, "logs:DescribeLogGroups", "logs:DescribeIndexPolicies", "logs:DescribeResourcePolicies"),
		allow("Role", []string{arn("iam", ":*", "role/"+roleName(name))},
			"iam:CreateRole", "iam:GetRole", "iam:UpdateRole", "iam:UpdateRoleDescription", "iam:UpdateAssumeRolePolicy", "iam:DeleteRole",
			"iam:PutRolePolicy", "iam:GetRolePolicy", "iam:DeleteRolePolicy", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies",
			"iam:TagRole", "iam:UntagRole"),
		{Sid: "PassRole", Effect: "Allow", Action: []string{"iam:PassRole"}, Resource: []string{arn("iam", ":*", "role/"+roleName(name))},
			Condition: map[string]map[string]string{"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}},
		allow("Function", []string{arn("lambda", local, "function:"+name), arn("lambda", local, "function:"+name+":*")},
			"lambda:CreateFunction", "lambda:GetFunction", "lambda:GetFunctionConfiguration", "lambda:GetFunctionCodeSigningConfig",
			"lambda:GetRuntimeManagementConfig", "lambda:GetFunctionRecursionConfig", "lambda:GetFunctionScalingConfig",
			"lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration", "lambda:DeleteFunction", "lambda:AddPermission", "lambda:RemovePermission", "lambda:GetPolicy",
			"lambda:PutFunctionConcurrency", "lambda:GetFunctionConcurrency", "lambda:DeleteFunctionConcurrency",
			"lambda:PutFunctionEventInvokeConfig", "lambda:GetFunctionEventInvokeConfig", "lambda:UpdateFunctionEventInvokeConfig",
			"lambda:DeleteFunctionEventInvokeConfig", "lambda:ListTags", "lambda:TagResource", "lambda:UntagResource"),
		allow("Failed", []string{arn("sqs", local, name+"-failed")},
			"sqs:CreateQueue", "sqs:DeleteQueue", "sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:SetQueueAttributes",
			"sqs:ListQueueTags", "sqs:TagQueue", "sqs:UntagQueue"),
		allow("Alarms", []string{arn("cloudwatch", local, "alarm:"+name+"-*")},
			"cloudwatch:PutMetricAlarm", "cloudwatch:DescribeAlarms", "cloudwatch:DeleteAlarms",
			"cloudwatch:ListTagsForResource", "cloudwatch:TagResource", "cloudwatch:UntagResource"),
		// API Gateway's ids are its own, so its APIs cannot be told by their names.
		allow("Api", []string{arn("apigateway", region+":", "/apis"), arn("apigateway", region+":", "/apis/*"), arn("apigateway", region+":", "/tags/*")},
			"apigateway:POST", "apigateway:GET", "apigateway:PATCH", "apigateway:PUT", "apigateway:DELETE",
			"apigateway:TagResource", "apigateway:UntagResource"),
	}}, "", "  ")
	return string(text) + "\n", err
}

func allow(sid string, resources []string, actions ...string) statement {
	return statement{Sid: sid, Effect: "Allow", Action: actions, Resource: resources}
}

// roleName is a pattern for the name that CloudFormation gives the stack's role: the stack's name, of which it takes the
// first part only when it is long, and more.
func roleName(stack string) string {
	const sure = 24
	if len(stack) > sure {
		return stack[:sure] + "*"
	}
	return stack + "-*"
}

// partitionOf is the part of AWS that a Region belongs to; ARNs begin with it:
// https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
func partitionOf(region string) string {
	for prefix, partition := range map[string]string{
		"cn-": "aws-cn", "us-gov-": "aws-us-gov", "eusc-": "aws-eusc",
		"us-iso-": "aws-iso", "us-isob-": "aws-iso-b", "eu-isoe-": "aws-iso-e", "us-isof-": "aws-iso-f",
	} {
		if strings.HasPrefix(region, prefix) {
			return partition
		}
	}
	return "aws"
}
