"""One folder a Lambda function: handlers that can be imported and tested without a cloud."""
